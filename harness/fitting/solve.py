"""How far one setting of a row goes, and how two of them trade: `--solve`, `--frontier`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.forecasting.cards import Card
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.frontier import OnFrontier, frontier
from harness.forecasting.settings import SOLVABLE
from harness.forecasting.solving import Solved, solve
from methods.wording import nearest

if TYPE_CHECKING:
    from harness.suite.cell import Cell

FRONTIER = ("batch", "length")


@dataclass(frozen=True)
class Farther:
    """What was asked of one row beyond the answer.

    Attributes:
        solved: the largest value of one setting; None: not asked.
        frontier: the largest batches by length; empty: not asked.
    """

    solved: Solved | None = None
    frontier: tuple[OnFrontier, ...] = ()


def refuse_unknown(what: str | None, traded: str | None) -> None:
    """Refuse settings that cannot be sought.

    Raises:
        UserError: naming the option.
    """
    if what is not None and what not in SOLVABLE:
        raise UserError(f"--solve {what}: unknown {what!r}; {nearest(what, SOLVABLE)}")
    if traded is not None and sorted(traded.replace(" ", "").split(",")) != sorted(FRONTIER):
        raise UserError(f"--frontier {traded}: expected {','.join(FRONTIER)}")


def farther(
    forecaster: Forecaster, cell: Cell, card: Card, what: str | None, traded: str | None
) -> Farther:
    """Return what is asked of a cell.

    Raises:
        UserError: it has no such setting, or cannot be forecast with another value.
    """
    return Farther(
        solve(forecaster, cell, card, what) if what else None,
        tuple(frontier(forecaster, cell, card)) if traded else (),
    )
