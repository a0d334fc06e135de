"""How batch and length trade on one card: for every length the largest batch that fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness.forecasting.cards import Card
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.law import law_of
from harness.forecasting.result import AtValue
from harness.forecasting.settings import Solvable, setting_of
from harness.forecasting.solving import Search

if TYPE_CHECKING:
    from harness.suite.cell import Cell

BOTH: tuple[Solvable, ...] = ("batch", "length")
SHORTEST, LONGEST = 128, 2**17


class OnFrontier(NamedTuple):
    """A length, and the largest batches of it; None: no batch does."""

    length: int
    fits: AtValue | None
    tight: AtValue | None


def lengths_of(cell: Cell) -> list[int]:
    """Return the lengths of a frontier: from 128 on doubled, as far as the model has positions."""
    most = min(setting_of(cell, "length").most, LONGEST)
    lengths = [min(SHORTEST, most)]
    while 2 * lengths[-1] <= most:
        lengths.append(2 * lengths[-1])
    return lengths


def frontier(
    forecaster: Forecaster, cell: Cell, card: Card, lengths: Sequence[int] = ()
) -> list[OnFrontier]:
    """Return the largest batch at each length, as forecast; it ends where no batch does.

    One law of both settings says where to look; each point has been forecast.

    Args:
        forecaster: that answers.
        cell: all else is as it has it.
        card: to fit.
        lengths: in rising order; none: `lengths_of`.

    Raises:
        UserError: the cell has no length, or cannot be forecast.
    """
    axes: dict[Solvable, tuple[int, ...]]
    axes = {what: setting_of(cell, what).points for what in BOTH}
    law = law_of(forecaster, cell, card, axes) if all(axes.values()) else None
    points: list[OnFrontier] = []
    for length in lengths or lengths_of(cell):
        batches = setting_of(setting_of(cell, "length").at(length), "batch")
        found = Search(forecaster, batches, card, law and law.along_first(length)).run()
        points.append(OnFrontier(length, found.fits, found.tight))
        if found.tight is None:
            break
    return points
