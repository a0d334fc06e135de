"""What other versions of the libraries move, taken out of a comparison.

A file's figures are of the versions that it names. Where others are here, the code as it was when
the file was right is forecast with them, too: what it needs here over what the file said of it is
the versions' doing, and is allowed on top of the file's figure of today.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from harness.budgets.figures import Figure, Figures
from harness.budgets.file import Budget, CardBudget
from harness.budgets.spot import Spot
from harness.budgets.times import StepBudget

K = TypeVar("K")


@dataclass(frozen=True)
class Base:
    """The code as it was at a commit, with the versions that are here.

    Attributes:
        commit: its hash.
        why: it is this one, in words.
        figures: what it needs here; None: it could not be forecast.
        file: the budget file as it was there; None: there was none that can be read.
        reason: why there are no figures.
    """

    commit: str
    why: str
    figures: Figures | None
    file: Budget | None = None
    reason: str = ""


@dataclass(frozen=True)
class Allowed:
    """What a cell's figure is held against.

    Attributes:
        figure: None: nothing, for that `reason`.
        drift: what the file said of the base (where it was not in the file yet: what it says
            now), and what the base needs here; None: not known.
    """

    figure: Figure | None
    reason: str = ""
    drift: tuple[Figure, Figure] | None = None


def allowances(budget: Budget, base: Base) -> dict[Spot, Allowed]:
    """Return what every budgeted cell may need with the versions that are here."""
    return {spot: _allowed(spot, row, budget, base) for spot, row in budget.spots.items()}


def _allowed(spot: Spot, row: CardBudget, budget: Budget, base: Base) -> Allowed:
    if base.figures is None:
        return Allowed(None, base.reason)
    here = base.figures.cells.get(spot)
    if here is None:
        why = base.figures.why_none(spot)
        return Allowed(None, f"{base.commit[:12]} has no figure of it: {why}")
    file = row.figure()
    if file.step is None:  # the base has times whether they are held or not
        here = replace(here, step=None)
    old = base.file.spots.get(spot) if base.file else None
    if old is None:  # new in the file since: the code alone can be compared
        return Allowed(here, drift=(file, here))
    if old.key and row.key and old.key != row.key:
        return Allowed(here)
    assert base.file is not None
    if base.file.cards[spot.card] != budget.cards[spot.card]:
        return Allowed(here)  # other versions' figures since: they tell nothing of a growth
    before = old.figure()
    return Allowed(_on_top(file, before, here), drift=(before, here))


def _on_top(file: Figure, before: Figure, here: Figure) -> Figure:
    """Return the file's figure and what the base needs here over what the file said of it."""
    sizes = {
        name: max(0, size + here.sizes[name] - before.sizes[name])
        for name, size in file.sizes.items()
        if name in here.sizes and name in before.sizes
    }
    same = dict(file.places) == dict(before.places)
    if same or not all(place.category for side in (file, before) for place in side.places):
        places, split, least = dict(here.places), dict(here.split), here.least
    else:
        places = _sum(file.places, before.places, here.places)
        split = _sum(file.split, before.split, here.split)
        least = max(file.least, before.least)
    return replace(file, sizes=sizes, split=split, places=places, least=least,
                   step=_step(file.step, before.step, here.step))  # fmt: skip


def _sum(file: Mapping[K, int], before: Mapping[K, int], here: Mapping[K, int]) -> dict[K, int]:
    names = dict.fromkeys((*file, *before, *here))
    sums = {name: file.get(name, 0) + here.get(name, 0) - before.get(name, 0) for name in names}
    return {name: size for name, size in sums.items() if size > 0}


def _step(
    file: StepBudget | None, before: StepBudget | None, here: StepBudget | None
) -> StepBudget | None:
    if file is None or before is None or here is None:
        return file
    seconds = file.seconds * here.seconds / before.seconds
    return StepBudget(seconds=seconds, bar=max(file.bar, here.bar))
