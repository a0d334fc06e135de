"""One cell's step against another's: which bytes came and which went, place by place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from harness.forecasting.cards import Card
from harness.forecasting.explain import Remedy, as_they_are
from harness.forecasting.forecaster import Forecaster
from harness.simulation.step_forecast import StepForecast

if TYPE_CHECKING:
    from harness.suite.cell import Cell


class Where(NamedTuple):
    """What holds bytes, in the model that both cells are made of.

    Weights are of one category: what trains in one cell may be the base of the other.
    """

    category: str
    place: str
    op: str


@dataclass(frozen=True)
class Moved:
    """Bytes of one place at both peaks.

    Attributes:
        where: layers summed up; what one cell alone has stands at the module around it.
        classes: of the module there, in the cell and in the other one; empty outside of modules.
        ours, theirs: bytes of the cell, and of the other one.
    """

    where: Where
    classes: tuple[str, str]
    ours: int
    theirs: int

    @property
    def more(self) -> int:
        """Bytes that the cell has more than the other one; negative: less."""
        return self.ours - self.theirs


@dataclass(frozen=True)
class Against:
    """Two cells' first stages beside each other.

    Attributes:
        cells: the one that is explained, and the other one.
        steps: their answers on every card.
        moved: where they hold other bytes on the first card, the largest difference first.
    """

    cells: tuple[Cell, Cell]
    steps: tuple[Remedy, Remedy]
    cards: Sequence[Card]
    moved: list[Moved]

    @property
    def came(self) -> list[Moved]:
        """What the cell holds more of."""
        return [one for one in self.moved if one.more > 0]

    @property
    def went(self) -> list[Moved]:
        """What the cell holds less of."""
        return [one for one in self.moved if one.more < 0]


def against(forecaster: Forecaster, cell: Cell, other: Cell, cards: Sequence[Card]) -> Against:
    """Forecast the first stages of two cells and hold them against each other.

    Raises:
        UserError: one of them cannot be forecast.
    """
    ours, theirs = as_they_are(forecaster, (cell, other), cards)
    return Against((cell, other), (ours, theirs), cards, moved(ours.step, theirs.step))


def moved(ours: StepForecast, theirs: StepForecast) -> list[Moved]:
    """Return where two steps hold other bytes at their peaks, the largest difference first."""
    first, second = _held(ours, theirs.classes), _held(theirs, ours.classes)
    found = [
        Moved(
            where,
            (ours.classes.get(where.place, ""), theirs.classes.get(where.place, "")),
            first[where],
            second[where],
        )
        for where in {**first, **second}
        if first[where] != second[where]
    ]
    return sorted(found, key=lambda one: (-abs(one.more), one.where))


def _held(step: StepForecast, others: Mapping[str, str]) -> Counter[Where]:
    """Return the bytes that a step holds at places which the other model has, too."""
    sums: Counter[Where] = Counter()
    for hold in step.holds:
        shared = within(hold.path, step.classes.keys() & others.keys())
        sums[Where(coarse(hold.category), shared, hold.op)] += hold.num_bytes
    return sums


def coarse(category: str) -> str:
    """Return the category without what is told apart in it."""
    return category.partition(".")[0]


def within(path: str, places: Mapping[str, str] | set[str]) -> str:
    """Return the innermost of the places that a path of a block, or of a parameter, lies in."""
    while path and path not in places:
        path = path.rpartition(".")[0]
    return path
