"""The search: what estimates put in order, full forecasts decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from harness.fitting.candidates import Candidate, candidates_of, cells_of
from harness.fitting.estimates import Estimate, estimates
from harness.fitting.kinds import Kind
from harness.fitting.verdict import Verdict, known_error, verdict_of
from harness.fitting.wanted import Wanted
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.largest import worst_of
from harness.forecasting.result import Forecast
from harness.suite.cell import Cell

NEAR = 0.05  # estimates of reserved bytes beyond the card by less are looked at
TRIES = 3  # candidates of one kind that are forecast before the search for its fastest ends
HELD: tuple[Verdict, ...] = ("fits", "tight", "uncertain")


@dataclass(frozen=True)
class Found:
    """A candidate with its full forecast.

    Attributes:
        entries: one per stage of its method.
        worst: of these the one that decides whether it fits.
    """

    candidate: Candidate
    cell: Cell
    entries: tuple[Forecast, ...]
    worst: Forecast
    verdict: Verdict

    @property
    def seconds(self) -> float | None:
        """Of a step, in the first stage; None: nothing is known of the card's speed."""
        times = self.entries[0].times
        steps = times.steps if times else []
        return sum(step.seconds for step in steps) / len(steps) if steps else None


@dataclass
class OfKind:
    """What is known of one kind.

    Attributes:
        plain: it with the plain settings.
        rows: what holds, and is the fastest or the leanest.
        leanest: what needs the least of all.
        changes: of `plain`, where it does not fit: single ones, the best first.
        error: why there is no forecast.
    """

    kind: Kind
    plain: Found | None = None
    rows: list[Found] = field(default_factory=list)
    leanest: Found | None = None
    changes: list[Found] = field(default_factory=list)
    error: str = ""


class Search:
    """Asks for one `Wanted`.

    Args:
        forecaster: that answers.
        wanted: the question.
        tell: is told of every candidate that was forecast.
    """

    def __init__(
        self, forecaster: Forecaster, wanted: Wanted, tell: Callable[[Found], None]
    ) -> None:
        self.forecaster, self.wanted, self.tell = forecaster, wanted, tell
        self.found: dict[Candidate, Found | str] = {}

    def run(self) -> list[OfKind]:
        """Search every kind; those that are asked for first are forecast first."""
        plans = [_Plan(kind, candidates_of(kind, self.wanted)) for kind in self.wanted.kinds]
        self._estimate(plans)
        self.forecast(candidate for plan in plans for candidate in plan.first(self.room))
        for _ in range(TRIES):
            self.forecast(c for plan in plans for c in plan.next(self.room, self.found))
        return [plan.result(self.room, self.found) for plan in plans]

    @property
    def room(self) -> int:
        """Bytes that the allocator may reserve."""
        return self.wanted.card.capacity

    def forecast(self, candidates: Iterable[Candidate]) -> None:
        """Forecast candidates in full, as many at a time as there are workers."""
        todo = [each for each in dict.fromkeys(candidates) if each not in self.found]
        width = self.forecaster.workers
        for start in range(0, len(todo), width):
            some = todo[start : start + width]
            cells = cells_of(self.wanted, some)
            entries = forecast_cells(self.forecaster, cells, [self.wanted.card])
            for candidate, cell in zip(some, cells, strict=True):
                own = tuple(entry for entry in entries if entry.cell == cell.path)
                self.found[candidate] = self._found(candidate, cell, own)

    def _found(
        self, candidate: Candidate, cell: Cell, entries: tuple[Forecast, ...]
    ) -> Found | str:
        error = next((entry.error for entry in entries if entry.error), None)
        if error:
            return error
        worst = worst_of(entries)
        off = known_error(cell.method, cell.train)
        verdict = verdict_of(worst, self.wanted.card, off)
        found = Found(candidate, cell, entries, worst, verdict)
        self.tell(found)
        return found

    def _estimate(self, plans: Sequence[_Plan]) -> None:
        """Estimate all candidates, and those that do not fit in one pass in more of them."""
        self._add(plans, [c for plan in plans for c in plan.candidates])
        batch = self.wanted.batch
        for passes in (n for n in range(2, batch + 1) if batch % n == 0):
            self._add(plans, [c for plan in plans for c in plan.smaller(passes, self.room)])

    def _add(self, plans: Sequence[_Plan], candidates: Sequence[Candidate]) -> None:
        if not candidates:
            return
        cells = cells_of(self.wanted, candidates)
        answers = estimates(self.forecaster, cells, self.wanted.card)
        for plan in plans:
            plan.add((c, a) for c, a in zip(candidates, answers, strict=True)
                     if c.kind == plan.kind)  # fmt: skip


class _Plan:
    """The candidates of one kind in order."""

    def __init__(self, kind: Kind, candidates: list[Candidate]) -> None:
        self.kind, self.candidates = kind, candidates
        self.known: dict[Candidate, Estimate] = {}
        self.errors: list[str] = []

    def add(self, answers: Iterable[tuple[Candidate, Estimate | str]]) -> None:
        for candidate, answer in answers:
            if isinstance(answer, str):
                self.errors.append(answer)
            else:
                self.known[candidate] = answer

    def smaller(self, passes: int, room: int) -> list[Candidate]:
        """Return what does not fit in fewer passes, in so many."""
        lean = {c.settings for c, e in self.known.items() if e.reserved <= room}
        several = (c.in_passes(passes) for c in self.candidates
                   if c in self.known and c.settings not in lean)  # fmt: skip
        return [each for each in several if each is not None]

    def first(self, room: int) -> list[Candidate]:
        """Return the fastest that is thought to fit, the leanest, and the plain one."""
        if not self.known:
            return []
        best = self._fastest(room)[:1]
        plain = [self.candidates[0]] if self.candidates[0] in self.known else []
        return [*best, self._leanest(), *plain]

    def next(self, room: int, found: dict[Candidate, Found | str]) -> list[Candidate]:
        """Return what to forecast next: a slower one, or a change of what does not fit."""
        order = self._fastest(room)
        sure = [c for c in order if _verdict(found.get(c)) == "fits"]
        tried = [c for c in order if c in found]
        more = [c for c in order if c not in found][:1] if order and not sure else []
        if len(tried) > TRIES:
            more = []
        return more + [c for c in self._changes(found, room)[:1] if c not in found]

    def result(self, room: int, found: dict[Candidate, Found | str]) -> OfKind:
        """Return what was found."""
        done = {c: f for c, f in found.items() if c.kind == self.kind and isinstance(f, Found)}
        errors = [f for c, f in found.items() if c.kind == self.kind and isinstance(f, str)]
        if not done:
            return OfKind(self.kind, error=next(iter([*errors, *self.errors]), "no forecast"))
        plain = done.get(self.candidates[0])
        leanest = min(done.values(), key=lambda f: f.worst.device or 0)
        held = sorted((f for f in done.values() if f.verdict in HELD), key=pace)
        sure = next((n for n, f in enumerate(held) if f.verdict == "fits"), len(held))
        rows = held[: sure + 1]
        if leanest.verdict in HELD and leanest not in rows:
            rows.append(leanest)
        changes = [f for c in self._changes(found, room) if isinstance(f := done.get(c), Found)]
        return OfKind(self.kind, plain, rows, leanest, changes)

    def _fastest(self, room: int) -> list[Candidate]:
        near = [c for c, e in self.known.items() if e.reserved <= (1 + NEAR) * room]
        return sorted(near, key=lambda c: self.known[c].pace)

    def _leanest(self) -> Candidate:
        return min(self.known, key=lambda c: self.known[c].reserved)

    def _changes(self, found: dict[Candidate, Found | str], room: int) -> list[Candidate]:
        """Return single changes of the plain one, where that does not fit, the best first.

        The best is the fastest that makes it fit; where none does, what saves most.
        """
        plain = self.candidates[0]
        if _verdict(found.get(plain)) != "does not fit":
            return []

        def rank(one: Candidate) -> tuple[bool, float]:
            known = self.known[one]
            fits = known.reserved <= room
            return not fits, known.pace if fits else known.reserved

        return sorted((c for c in self.known if len(_differing(c, plain)) == 1), key=rank)


def _differing(one: Candidate, other: Candidate) -> set[str]:
    mine, theirs = dict(one.settings), dict(other.settings)
    names = {name for name in mine | theirs if mine.get(name) != theirs.get(name)}
    names -= {"clip", "optimizer"} if "optimizer_in_backward" in names else set()
    return names | ({"passes"} if one.passes != other.passes else set())


def _verdict(found: Found | str | None) -> Verdict | None:
    return found.verdict if isinstance(found, Found) else None


def pace(found: Found) -> float:
    """Return what orders what was found: seconds of a step, or its FLOPs where none are known."""
    return found.seconds or float(found.worst.flops_step or 0)
