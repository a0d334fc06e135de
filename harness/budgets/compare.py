"""Figures against budgets: which cells grew, where, and by how much."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

from harness.budgets.drift import Allowed
from harness.budgets.figures import Figure, Figures
from harness.budgets.file import Budget, refuse_other_kind
from harness.budgets.settings import changes
from harness.budgets.spot import Spot
from harness.budgets.times import TimeFinding, compare_times
from harness.comparing.moves import CellMove, Shift
from harness.comparing.sides import Figures as Listed
from harness.comparing.sides import Place

Kind = Literal["within", "over", "win", "changed", "missing", "new", "unjudged"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Finding:
    """One cell on one card.

    Attributes:
        figure: what it needs; None: missing.
        allowed: what it is held against; None: it is new.
        moved: metrics that moved beyond their tolerance.
        changes: settings that are other ones than the budget's.
        reason: why there is no figure, or no verdict.
    """

    spot: Spot
    kind: Kind
    figure: Figure | None = None
    allowed: Figure | None = None
    moved: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    reason: str = ""

    def shift(self, metric: str) -> Shift | None:
        """Return a metric's bytes before and now; None where one side has none."""
        if self.figure is None or self.allowed is None:
            return None
        before, now = self.allowed.value(metric), self.figure.value(metric)
        return None if before is None or now is None else Shift(before, now)

    @cached_property
    def place(self) -> tuple[Place, int] | None:
        """What moved most the way that the peak did, and by how many bytes.

        Category and module are those of the same tensors. None: nothing that is listed did.
        """
        if self.figure is None or self.allowed is None:
            return None
        before, now = (_listed(side) for side in (self.allowed, self.figure))
        move = CellMove(self.spot.path, before, now)
        sign = -1 if move.sizes["peak"].moved < 0 else 1
        places = {place: shift.moved for place, shift in move.places.items()}
        unsplit = now.split.get("unsplit", 0) - before.split.get("unsplit", 0)
        places[Place("unsplit", "")] = unsplit
        place = max(places, key=lambda each: sign * places[each])
        return (place, places[place]) if sign * places[place] > 0 else None


def _listed(figure: Figure) -> Listed:
    return Listed(
        sizes={"peak": figure.peak},
        split=figure.split,
        places=figure.places,
        least=figure.least,
    )


@dataclass(frozen=True)
class Verdict:
    """All cells' findings, and those of step times where the budget holds them."""

    findings: list[Finding]
    tolerance: Mapping[str, float]
    times: list[TimeFinding] = field(default_factory=list)

    def of(self, kind: Kind) -> list[Finding]:
        """Return the findings of one kind."""
        return [finding for finding in self.findings if finding.kind == kind]

    @property
    def kinds(self) -> set[str]:
        """What was found, of bytes and of times."""
        return {finding.kind for finding in self.findings} | {one.kind for one in self.times}

    def failing(self, ratchet: bool = False, strict: bool = False) -> set[Spot]:
        """Return the cells that the exit code is of."""
        found = {one.spot for one in self.findings if _fails(one, ratchet, strict)}
        kinds = {"slower", "missing", *(("faster",) if ratchet else ())}
        kinds |= {"new"} if strict else set()
        return found | {one.spot for one in self.times if one.kind in kinds}

    def exit_code(self, ratchet: bool = False, strict: bool = False) -> int:
        """Return 1 where a cell is over or slower (with a ratchet: or wins), 4 without a verdict.

        3 where a cell is gone, changed, or with `strict` new, or nothing was compared at all.
        """
        kinds = self.kinds
        if kinds & {"over", "slower", *(("win", "faster") if ratchet else ())}:
            return 1
        if "unjudged" in kinds:
            return 4
        compared = kinds & {"within", "over", "win"}
        return 3 if not compared or self.failing(ratchet, strict) else 0


def _fails(finding: Finding, ratchet: bool, strict: bool) -> bool:
    """Tell whether a finding is none to pass with; a changed cell is none where its bytes moved."""
    kinds = {"over", "missing", "unjudged"}
    kinds |= {"win"} if ratchet else set()
    kinds |= {"new", "changed"} if strict else set()
    return finding.kind in kinds or (finding.kind == "changed" and bool(finding.moved))


def compare(
    budget: Budget,
    figures: Figures,
    cards: Collection[str] = (),
    allowed: Mapping[Spot, Allowed] | None = None,
) -> Verdict:
    """Hold every figure against its budget.

    Args:
        budget: the file.
        figures: as they are now.
        cards: to look at; none: all that the figures are of, or the file's where they are of none.
        allowed: what figures are held against in place of the file's own, made with other versions.

    Raises:
        UserError: the figures are of another kind than the budget.
    """
    refuse_other_kind(budget, figures)
    cards = cards or figures.cards or tuple(budget.cards)
    findings, steps = [], {}
    for spot, row in budget.spots.items():
        if spot.card not in cards:
            continue
        held = allowed[spot] if allowed is not None else Allowed(row.figure())
        figure = figures.cells.get(spot)
        if held.figure is not None and held.figure.step:
            steps[spot] = held.figure.step
        if figure is None:
            reason = figures.why_none(spot)
            findings.append(Finding(spot, "missing", allowed=row.figure(), reason=reason))
        elif row.key and figure.key and row.key != figure.key:
            moved = _moved(row.figure(), figure, budget.tolerance)
            told = tuple(changes(row.settings, figure.settings))
            findings.append(
                Finding(spot, "changed", figure, row.figure(), (*moved[0], *moved[1]), told)
            )
        elif held.figure is None:
            findings.append(_unjudged(spot, figure, row.figure(), budget.tolerance, held.reason))
        else:
            findings.append(judge(spot, held.figure, figure, budget.tolerance))
    findings += [
        Finding(spot, "new", figure)
        for spot, figure in figures.cells.items()
        if spot not in budget.spots
    ]
    now = {spot: figure.step for spot, figure in figures.cells.items() if figure.step}
    return Verdict(findings, budget.tolerance, compare_times(steps, now))


def judge(spot: Spot, before: Figure, now: Figure, tolerance: Mapping[str, float]) -> Finding:
    """Hold one figure against what is allowed."""
    grown, fallen = _moved(before, now, tolerance)
    kind: Kind = "over" if grown else "win" if fallen else "within"
    return Finding(spot, kind, now, before, tuple(grown or fallen))


def _unjudged(
    spot: Spot, now: Figure, file: Figure, tolerance: Mapping[str, float], reason: str
) -> Finding:
    """Return that nobody knows whose doing a move is; where nothing moved, all is well."""
    found = judge(spot, file, now, tolerance)
    if found.kind == "within":
        return found
    return Finding(spot, "unjudged", now, file, found.moved, reason=reason)


def _moved(
    before: Figure, now: Figure, tolerance: Mapping[str, float]
) -> tuple[list[str], list[str]]:
    """Return the metrics that grew beyond their tolerance, and those that fell."""
    grown, fallen = [], []
    for metric, share in tolerance.items():
        old, new = before.value(metric), now.value(metric)
        if metric == "step" or old is None or new is None:
            continue
        if new - old > share * old:
            grown.append(metric)
        elif old - new > share * old:
            fallen.append(metric)
    return grown, fallen


def any_moved(verdict: Verdict) -> bool:
    """Tell whether some figure is other than the file's by more than it may be."""
    return bool(verdict.kinds & {"over", "win", "slower", "faster"})


def counted(findings: Iterable[Finding]) -> dict[Kind, int]:
    """Return how many there are of every kind."""
    found = [finding.kind for finding in findings]
    return {kind: found.count(kind) for kind in KINDS}
