"""What to forecast of one kind, in which order, and what of it is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from harness.fitting.candidates import Candidate
from harness.fitting.estimates import Estimate
from harness.fitting.found import Found
from harness.fitting.kinds import Kind
from harness.fitting.verdict import Verdict

NEAR = 0.05  # what is estimated to be over the card by less is looked at
TRIES = 3  # candidates that are forecast, before the search for the fastest ends
HELD: tuple[Verdict, ...] = ("fits", "tight", "uncertain")
Known = Mapping[Candidate, Found | str]


@dataclass
class OfKind:
    """What is known of one kind.

    Attributes:
        plain: it with the plain settings.
        rows: what holds: the fastest that fits, before it what is faster and not as sure, and the
            leanest.
        leanest: what needs the least of all.
        change: of `plain`, where it does not fit: the single one that helps most.
        error: why there is no forecast.
    """

    kind: Kind
    plain: Found | None = None
    rows: list[Found] = field(default_factory=list)
    leanest: Found | None = None
    change: Found | None = None
    error: str = ""


class Plan:
    """The candidates of one kind in the order of their estimates.

    Args:
        kind: that they are of.
        candidates: in one pass a step, the plain one first.
        room: bytes that the allocator may reserve.
    """

    def __init__(self, kind: Kind, candidates: list[Candidate], room: int) -> None:
        self.kind, self.candidates, self.room = kind, candidates, room
        self.known: dict[Candidate, Estimate] = {}
        self.error = ""

    @property
    def plain(self) -> Candidate:
        """The candidate with the plain settings."""
        one = self.candidates[0]
        return one.in_passes(self.kind.passes) or one

    def add(self, answers: Iterable[tuple[Candidate, Estimate]]) -> None:
        """Note estimates; a candidate without one is none."""
        for candidate, answer in answers:
            if answer.error:
                self.error = self.error or answer.error
            else:
                self.known[candidate] = answer

    def in_passes(self, passes: int) -> list[Candidate]:
        """Return what does not fit in fewer passes, in so many."""
        held = {c.settings for c, e in self.known.items() if e.reserved <= self.room}
        split = (c.in_passes(passes) for c in self.candidates
                 if c in self.known and c.settings not in held)  # fmt: skip
        return [each for each in split if each is not None]

    def first(self) -> list[Candidate]:
        """Return the fastest that is thought to fit, the leanest, and the plain one."""
        if not self.known:
            return []
        plain = [self.plain] if self.plain in self.known else []
        return [*self._fastest()[:1], self._leanest(), *plain]

    def next(self, found: Known) -> list[Candidate]:
        """Return what to forecast after that: a slower one, and a change of what does not fit."""
        order = self._fastest()
        tried = [c for c in order if c in found]
        sure = any(_verdict(found[c]) == "fits" for c in tried)
        slower = [] if sure or len(tried) > TRIES else [c for c in order if c not in found][:1]
        return slower + [c for c in self._changes(found)[:1] if c not in found]

    def result(self, found: Known) -> OfKind:
        """Return what was found."""
        own = {c: f for c, f in found.items() if c.kind == self.kind}
        done = [f for f in own.values() if isinstance(f, Found)]
        if not done:
            errors = [f for f in own.values() if isinstance(f, str)]
            return OfKind(self.kind, error=next(iter(errors), self.error))
        leanest = min(done, key=lambda f: f.worst.device or 0)
        held = sorted((f for f in done if f.verdict in HELD), key=self._shown_order)
        sure = next((n for n, f in enumerate(held) if f.verdict == "fits"), len(held))
        rows = held[: sure + 1]
        if leanest in held and leanest not in rows:
            rows.append(leanest)
        changes = [f for c in self._changes(found) if isinstance(f := own.get(c), Found)]
        plain = own.get(self.plain)
        return OfKind(
            kind=self.kind,
            plain=plain if isinstance(plain, Found) else None,
            rows=rows,
            leanest=leanest,
            change=next(iter(changes), None),
        )

    def _shown_order(self, found: Found) -> float:
        return found.step.seconds if found.step else self._pace(found.candidate)

    def _pace(self, candidate: Candidate) -> float:
        """Return an estimate's seconds; without any the plain one is the fastest."""
        known = self.known[candidate].seconds
        return float(list(self.known).index(candidate)) if known is None else known

    def _fastest(self) -> list[Candidate]:
        near = [c for c, e in self.known.items() if e.reserved <= (1 + NEAR) * self.room]
        return sorted(near, key=self._pace)

    def _leanest(self) -> Candidate:
        return min(self.known, key=lambda c: self.known[c].reserved)

    def _changes(self, found: Known) -> list[Candidate]:
        """Return single changes of the plain one, where that does not fit, the best first.

        The best is the fastest that makes it fit; where none does, what saves most.
        """
        if _verdict(found.get(self.plain)) != "does not fit":
            return []

        def rank(one: Candidate) -> tuple[bool, float]:
            fits = self.known[one].reserved <= self.room
            return not fits, self._pace(one) if fits else self.known[one].reserved

        return sorted((c for c in self.known if c.differs_once(self.plain)), key=rank)


def _verdict(found: Found | str | None) -> Verdict | None:
    return found.verdict if isinstance(found, Found) else None
