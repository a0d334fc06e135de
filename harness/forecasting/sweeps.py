"""Cells again at other batch sizes or lengths: how memory grows, and where a card ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from harness.errors import UserError
from harness.forecasting.cards import Card
from harness.forecasting.cells import at_value, forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.result import AtValue, Forecast, Swept
from harness.forecasting.varied import with_batch, with_length
from methods.wording import nearest

if TYPE_CHECKING:
    from harness.suite.cell import Cell


SWEPT: tuple[Swept, ...] = get_args(Swept)


@dataclass(frozen=True)
class Sweep:
    """What `--sweep batch=1,2,4` says.

    Attributes:
        what: the setting that varies; all others stay as each cell has them.
        values: in rising order.
    """

    what: Swept
    values: tuple[int, ...]


def sweeps_of(texts: Sequence[str]) -> list[Sweep]:
    """Read the values of all `--sweep` options.

    Raises:
        UserError: one says nothing that can vary, a value that is no whole number above 0, a value
            twice or what another one says.
    """
    sweeps = [_sweep_of(text) for text in texts]
    for what in SWEPT:
        if sum(sweep.what == what for sweep in sweeps) > 1:
            raise UserError(f"--sweep {what}: given twice; name all its values in one")
    return sweeps


def _sweep_of(text: str) -> Sweep:
    name, _, listed = text.partition("=")
    what = next((what for what in SWEPT if what == name.strip()), None)
    if what is None:
        raise UserError(f"--sweep {text}: unknown {name!r}; {nearest(name, SWEPT)}")
    values = []
    for part in listed.split(","):
        if not (part.strip().isascii() and part.strip().isdigit() and int(part)):
            raise UserError(
                f"--sweep {text}: {part.strip()!r} is no whole number above 0; expected such as "
                f"{what}=8,16,32"
            )
        values.append(int(part))
    if len(set(values)) < len(values):
        raise UserError(f"--sweep {text}: a value is there twice")
    return Sweep(what, tuple(sorted(values)))


SET: dict[Swept, Callable[[Cell, int], Cell]] = {"batch": with_batch, "length": with_length}


def add_sweeps(
    forecaster: Forecaster,
    cells: Sequence[Cell],
    cards: Sequence[Card],
    forecasts: Sequence[Forecast],
    sweeps: Sequence[Sweep],
) -> list[Forecast]:
    """Return the forecasts with `sweeps`, the same for every stage: the worst one decides."""
    points = [(cell, sweep.what, value) for sweep in sweeps for cell in cells
              for value in sweep.values]  # fmt: skip
    varied = [_with(*point) for point in points]
    stages: dict[tuple[str, str], list[Forecast]] = {}
    for entry in forecast_cells(forecaster, varied, cards):
        stages.setdefault((entry.cell, entry.gpu), []).append(entry)
    found: dict[tuple[str, str], dict[Swept, list[AtValue]]] = {}
    for (cell, what, value), asked in zip(points, varied, strict=True):
        for card in cards:
            curves = found.setdefault((cell.path, card.name), {})
            at = at_value(value, asked, stages[asked.path, card.name])
            curves.setdefault(what, []).append(at)
    return [f.model_copy(update={"sweeps": found.get((f.cell, f.gpu), {})}) for f in forecasts]


def _with(cell: Cell, what: Swept, value: int) -> Cell:
    """Return the cell at a value, which its path says."""
    try:
        varied = SET[what](cell, value)
    except UserError as error:
        raise UserError(f"--sweep {error}") from None
    return varied.model_copy(update={"axes": {**cell.axes, what: value}})
