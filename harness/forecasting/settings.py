"""Settings of a cell that are one number, of which the largest may be sought."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from harness.errors import UserError
from harness.forecasting.varied import with_batch, with_length, with_option
from methods.wording import nearest

if TYPE_CHECKING:
    from harness.suite.cell import Cell

Solvable = Literal["batch", "length", "rank", "layers"]
SOLVABLE: tuple[Solvable, ...] = get_args(Solvable)
# Where nothing else ends a search; no card holds so many examples of anything.
MAX_BATCH = 2**20
RANKS = ("r", "init_r")  # what methods call their rank
STEP_OF_LENGTH = 32  # to which attention pads what it saves of each row


class Setting(NamedTuple):
    """One setting of one cell.

    Attributes:
        name: as users say it.
        cell: as it is.
        now: its value there.
        most: the largest that has a meaning.
        why: it ends there.
        step: between two values.
        points: values whose logs say all others.
    """

    name: Solvable
    cell: Cell
    now: int
    most: int
    why: str
    step: int = 1
    points: tuple[int, ...] = ()

    def at(self, value: int) -> Cell:
        """Return the cell with this value."""
        return SETTERS[self.name](self.cell, value)


def setting_of(cell: Cell, name: str) -> Setting:
    """Return a setting of the cell.

    Raises:
        UserError: the cell has no such setting.
    """
    if name not in SOLVABLE:
        raise UserError(f"unknown {name!r}; {nearest(name, SOLVABLE)}")
    return _FOUND[name](cell)


def _batch(cell: Cell) -> Setting:
    # A batch of one makes views where others copy.
    return Setting("batch", cell, cell.train.batch_size, MAX_BATCH, "", points=(2, 3))


def _length(cell: Cell) -> Setting:
    with_length(cell, STEP_OF_LENGTH)
    positions = getattr(_config(cell), "max_position_embeddings", None) or MAX_BATCH
    most = positions // STEP_OF_LENGTH * STEP_OF_LENGTH
    # How many examples a pack holds does not go with its length.
    points = next((p for p in ((64, 128, 192), (32, 64, 96)) if p[-1] <= most), ())
    points = () if cell.train.padding == "packed" else points
    return Setting("length", cell, min(cell.train.max_length, most), most,
                   f"the model's positions: {positions}", STEP_OF_LENGTH, points)  # fmt: skip


def _rank(cell: Cell) -> Setting:
    name = _rank_option(cell)
    now = cell.method_options.get(name, getattr(cell.configured_method, name, None))
    most = getattr(_config(cell), "hidden_size", None) or 4096
    return Setting("rank", cell, int(now or 8), most, f"the model's width: {most}",
                   points=(4, 8, 12))  # fmt: skip


def _layers(cell: Cell) -> Setting:
    if "layers" not in type(cell.configured_method).model_fields:
        raise UserError(f"{cell.path}: {cell.method} has no option layers")
    most = _depth(cell)
    return Setting("layers", cell, most, most, f"the model's layers: {most}")


def _rank_option(cell: Cell) -> str:
    fields = {*type(cell.configured_method).model_fields, *cell.method_options}
    found = next((name for name in RANKS if name in fields), None)
    if found is None:
        raise UserError(f"{cell.path}: {cell.method} has no rank ({' or '.join(RANKS)})")
    return found


def _depth(cell: Cell) -> int:
    config = _config(cell)
    depth = getattr(config, "num_hidden_layers", None)
    if depth is None or config.is_encoder_decoder:
        raise UserError(f"{cell.path}: the layers of this model are not one stack")
    return int(depth)


def _config(cell: Cell) -> Any:
    from harness.models.config import build_config

    return build_config(cell.model).get_text_config()


def with_rank(cell: Cell, rank: int) -> Cell:
    """Return the cell with another rank of its method."""
    return with_option(cell, _rank_option(cell), rank)


def with_layers(cell: Cell, layers: int) -> Cell:
    """Return the cell with its method in so many layers, those nearest the head."""
    depth = _depth(cell)
    return with_option(cell, "layers", (depth - layers, depth))


SETTERS: dict[Solvable, Callable[[Cell, int], Cell]] = {
    "batch": with_batch, "length": with_length, "rank": with_rank, "layers": with_layers
}  # fmt: skip
_FOUND: dict[str, Callable[[Cell], Setting]] = {
    "batch": _batch, "length": _length, "rank": _rank, "layers": _layers
}  # fmt: skip
