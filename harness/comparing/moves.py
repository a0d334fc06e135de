"""Side against side: what differs between their environments and settings, and what moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from harness.comparing.sides import Figures, Place, Side
from harness.errors import UserError
from harness.simulation.step_forecast import LAYER

NONE = "-"  # a fact or a setting that one side has not
Pair = tuple[str, str]
K = TypeVar("K")


@dataclass(frozen=True)
class Shift:
    """Bytes of one name, before and after."""

    before: int
    after: int

    @property
    def moved(self) -> int:
        """Bytes more than before."""
        return self.after - self.before

    @property
    def share(self) -> float | None:
        """The same as a fraction of before; None from nothing."""
        return self.moved / self.before if self.before else None


@dataclass(frozen=True)
class CellMove:
    """One cell that both sides have figures of."""

    path: str
    before: Figures
    after: Figures

    @cached_property
    def sizes(self) -> dict[str, Shift]:
        """Peak, reserved, at rest and evaluation, as far as both sides have them."""
        return {
            name: Shift(size, self.after.sizes[name])
            for name, size in self.before.sizes.items()
            if name in self.after.sizes
        }

    @cached_property
    def split(self) -> dict[str, Shift]:
        """By category, all of them."""
        return _shifts(self.before.split, self.after.split)

    @cached_property
    def places(self) -> dict[Place, Shift]:
        """By category and module, layers summed up: those that moved, the largest move first.

        Categories are left aside where one side does not know them. A place that only got
        another name did not move (`renamed`).
        """
        moved = {place: shift for place, shift in self._all_places.items() if shift.moved}
        for old, new in self.renamed.items():
            del moved[old], moved[new]
        return dict(sorted(moved.items(), key=lambda item: (-abs(item[1].moved), item[0])))

    @cached_property
    def renamed(self) -> dict[Place, Place]:
        """Places that one side has under another name: same category and bytes, no other such."""
        gone = _alone({p: s.before for p, s in self._all_places.items() if not s.after})
        new = _alone({p: s.after for p, s in self._all_places.items() if not s.before})
        return {place: new[key] for key, place in gone.items() if key in new}

    @cached_property
    def _all_places(self) -> dict[Place, Shift]:
        """Sum up the layers of places that both sides list, or that the other would have to."""
        first, second = self.before.places, self.after.places
        if not all(any(place.category for place in places) for places in (first, second)):
            first, second = _by_module(first), _by_module(second)
        sums = (Counter[Place](), Counter[Place]())
        for place, shift in _shifts(first, second).items():
            known = (place in first or shift.after > self.before.least) and (
                place in second or shift.before > self.after.least
            )
            if known:
                over = Place(place.category, LAYER.sub("*", place.module))
                sums[0][over] += shift.before
                sums[1][over] += shift.after
        return _shifts(*sums)

    @property
    def shifts(self) -> tuple[tuple[object, Shift], ...]:
        """All that can move, by name, for cells that move alike."""
        return (*self.sizes.items(), *self.split.items(), *self.places.items())

    @property
    def elsewhere(self) -> int:
        """Bytes that moved in no place that is listed."""
        return self.sizes["peak"].moved - sum(shift.moved for shift in self.places.values())

    @property
    def moved_at_peak(self) -> bool:
        """Whether the peak, a category or a place in it has other bytes."""
        shifts = (self.sizes["peak"], *self.split.values(), *self.places.values())
        return any(shift.moved for shift in shifts)

    @property
    def is_same(self) -> bool:
        """Whether every size, category and place has the same bytes."""
        return not self.moved_at_peak and not any(shift.moved for shift in self.sizes.values())


@dataclass(frozen=True)
class Comparison:
    """What differs between two sides.

    Attributes:
        facts: of the environment that differ; `same_facts` are those that do not.
        settings: that differ, with the cells in which they do.
        moves: cells with figures on both sides, in the order of the first.
        only_before, only_after: cells of one side.
        reasons: cells without figures on one side or both, and why: (before, after).
    """

    before: Side
    after: Side
    facts: dict[str, Pair]
    same_facts: dict[str, str]
    settings: dict[tuple[str, str, str], list[str]]
    moves: list[CellMove]
    only_before: list[str]
    only_after: list[str]
    reasons: dict[str, Pair]

    @property
    def is_whole(self) -> bool:
        """Whether something is compared, and no cell has figures on one side alone."""
        return bool(self.moves) and all(all(pair) for pair in self.reasons.values())

    @property
    def moved(self) -> list[CellMove]:
        """Cells in which any byte moved."""
        return [move for move in self.moves if not move.is_same]


def compare(before: Side, after: Side) -> Comparison:
    """Hold two sides against each other.

    Raises:
        UserError: one is measured and one forecast, or they share no cell.
    """
    if before.kind != after.kind:
        raise UserError(
            f"{before.name} holds {before.kind} figures, {after.name} {after.kind} ones; "
            "the report of a run has both beside each other"
        )
    common = [path for path in before.cells if path in after.cells]
    if not common:
        examples = (f"{side.name} has {next(iter(side.cells), 'none')}" for side in (before, after))
        raise UserError(f"no cell is in both: {', '.join(examples)}")
    pairs = {path: (before.cells[path], after.cells[path]) for path in common}
    names = dict.fromkeys((*before.facts, *after.facts))
    facts = {name: (before.facts.get(name, NONE), after.facts.get(name, NONE)) for name in names}
    return Comparison(
        before,
        after,
        facts={name: pair for name, pair in facts.items() if pair[0] != pair[1]},
        same_facts={name: pair[0] for name, pair in facts.items() if pair[0] == pair[1]},
        settings=_settings(pairs),
        moves=[
            CellMove(path, *pair)
            for path, pair in pairs.items()
            if not pair[0].reason and not pair[1].reason
        ],
        only_before=[path for path in before.cells if path not in after.cells],
        only_after=[path for path in after.cells if path not in before.cells],
        reasons={
            path: (pair[0].reason, pair[1].reason)
            for path, pair in pairs.items()
            if pair[0].reason or pair[1].reason
        },
    )


def _settings(
    pairs: Mapping[str, tuple[Figures, Figures]],
) -> dict[tuple[str, str, str], list[str]]:
    """Return (setting, before, after) -> the cells in which it differs so."""
    differ: dict[tuple[str, str, str], list[str]] = {}
    for path, (before, after) in pairs.items():
        if not (before.settings and after.settings):
            continue  # of a record that cannot be read nothing is known
        for name in dict.fromkeys((*before.settings, *after.settings)):
            old, new = before.settings.get(name, NONE), after.settings.get(name, NONE)
            if old != new:
                differ.setdefault((name, old, new), []).append(path)
    return differ


def _shifts(before: Mapping[K, int], after: Mapping[K, int]) -> dict[K, Shift]:
    return {
        name: Shift(before.get(name, 0), after.get(name, 0))
        for name in dict.fromkeys((*before, *after))
    }


def _by_module(places: Mapping[Place, int]) -> dict[Place, int]:
    sums: Counter[Place] = Counter()
    for place, size in places.items():
        sums[Place("", place.module)] += size
    return dict(sums)


def _alone(places: Mapping[Place, int]) -> dict[tuple[str, int], Place]:
    """Return (category, bytes) -> the place that alone has them."""
    counts = Counter((place.category, size) for place, size in places.items())
    return {
        (place.category, size): place
        for place, size in places.items()
        if counts[place.category, size] == 1
    }
