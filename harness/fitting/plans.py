"""What to forecast of one kind, in which order, and what of it is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.fitting.candidates import Candidate
from harness.fitting.found import Found, pace
from harness.fitting.kinds import Kind
from harness.fitting.verdict import Verdict
from harness.forecasting.estimates import Estimate

NEAR = 0.01  # what is estimated to be over the card by less is looked at
WORTH = 0.05  # the leanest of a kind is shown where it saves this share of each other row
TRIES = 4  # rounds of forecasts, before the search for the fastest ends
Known = Mapping[Candidate, Found | str]


@dataclass
class OfKind:
    """What is known of one kind.

    Attributes:
        plain: it with the plain settings; None: there is no forecast of that.
        rows: what holds: the fastest that fits, before it what is faster and not as sure, and the
            leanest.
        leanest: what needs the least of all.
        change: of `plain`, where it does not fit: the single one that helps most.
        error: why there is no forecast, of the plain settings or of any.
    """

    kind: Kind
    plain: Found | None = None
    rows: list[Found] = field(default_factory=list)
    leanest: Found | None = None
    change: Found | None = None
    error: str = ""

    @property
    def short(self) -> Found | None:
        """What does not fit: it with the plain settings, or of what is known the leanest."""
        if self.plain is not None:
            return None if self.plain.holds else self.plain
        return None if self.rows else self.leanest


class Plan:
    """The candidates of one kind in the order of their estimates.

    Args:
        kind: that they are of.
        candidates: in one pass a step, the plain one first.
        room: bytes that the allocator may reserve.
    """

    def __init__(self, kind: Kind, candidates: list[Candidate], room: int) -> None:
        self.kind, self.candidates, self.room = kind, candidates, room
        one = candidates[0]
        self.plain = one.in_passes(kind.passes) or one
        self.known: dict[Candidate, Estimate] = {}
        self.error = ""

    def add(self, answers: Iterable[tuple[Candidate, Estimate]]) -> None:
        """Note estimates; a candidate without one is none."""
        for candidate, answer in answers:
            if answer.error:
                self.error = self.error or answer.error
            else:
                self.known[candidate] = answer

    def ends(self) -> list[Candidate]:
        """Return for each optimizer the candidate that all settings make lean, one example a pass.

        Where that does not fit, nothing with the optimizer does.
        """
        last = {candidate.group: candidate for candidate in self.candidates}
        return [each.in_passes(each.examples) or each for each in last.values()]

    def worth(self, found: Known) -> list[Candidate]:
        """Return what else to estimate, in one pass.

        Nothing is faster than the plain one but another kernel of attention.
        """
        hopeless = {c.group for c, e in self.known.items()
                    if c in self.ends() and not self._near(e)}  # fmt: skip
        hoped = [c for c in self.candidates if c.group not in hopeless and c not in self.known]
        plain = found.get(self.plain)
        if isinstance(plain, Found) and plain.verdict == "fits" and self.plain.passes == 1:
            hoped = [c for c in hoped if c.only_attends(self.plain)]
        elif isinstance(plain, Found):  # a single change of it may help, if only a little
            hoped += [c for c in self.candidates if c.differs_once(self.candidates[0])
                      and c not in hoped and c not in self.known]  # fmt: skip
        return hoped

    def split(self) -> list[Candidate]:
        """Return what does not fit in the passes that were looked at, in more of them.

        Memory is nearly affine in the examples of a pass: two estimates draw a line.
        """
        asked = []
        for one in self.candidates:
            known = {c.examples: e for c, e in self.known.items() if c.settings == one.settings}
            held = max((n for n, e in known.items() if e.reserved <= self.room), default=0)
            over = min((n for n, e in known.items() if e.reserved > self.room), default=0)
            between = [n for n in range(held + 1, over) if one.examples % n == 0]
            if held:
                slope = (known[over].reserved - known[held].reserved) / (over - held) if over else 0
                line = {n: known[held].reserved + slope * (n - held) for n in between}
                between = [n for n in between if line[n] <= self.room][-1:]
            split = one.in_passes(one.examples // between[0]) if between else None
            if split is not None:
                asked.append(split)
        return asked

    def first(self) -> list[Candidate]:
        """Return the fastest that is thought to fit, and the leanest."""
        return [*self._fastest()[:1], self._leanest()] if self.known else []

    def next(self, found: Known) -> list[Candidate]:
        """Return what to forecast after that: a slower one, and a change of what does not fit."""
        slower = next(
            (c for c in self._fastest() if _verdict(found.get(c)) in (None, "fits")), None
        )
        asked = [slower] if slower is not None and slower not in found else []
        return asked + [c for c in self._changes(found)[:1] if c not in found]

    def result(self, found: Known) -> OfKind:
        """Return what was found."""
        own = {c: f for c, f in found.items() if c.kind == self.kind}
        done = [f for f in own.values() if isinstance(f, Found)]
        if not done:
            errors = [f for f in own.values() if isinstance(f, str)]
            return OfKind(self.kind, error=next(iter(errors), self.error))
        leanest = min(done, key=lambda f: f.worst.device or 0)
        held = sorted((f for f in done if f.holds), key=self._shown_order)
        sure = next((n for n, f in enumerate(held) if f.verdict == "fits"), len(held))
        rows = held[: sure + 1]
        if leanest in held and all(_saves(leanest, row) for row in rows):
            rows.append(leanest)
        changes = [f for c in self._changes(found) if isinstance(f := own.get(c), Found)]
        plain = own.get(self.plain)
        return OfKind(
            kind=self.kind,
            error=plain if isinstance(plain, str) else "",
            plain=plain if isinstance(plain, Found) else None,
            rows=rows,
            leanest=leanest,
            change=next(iter(changes), None),
        )

    def _near(self, estimate: Estimate) -> bool:
        return estimate.reserved <= (1 + NEAR) * self.room

    def _shown_order(self, found: Found) -> tuple[bool, float]:
        return pace(found) if found.step else self._pace(found.candidate)

    def _pace(self, candidate: Candidate) -> tuple[bool, float]:
        """Return an estimate's seconds; without any the plainer one is the faster.

        What is only known to take at least so long stands behind the others.
        """
        seconds = self.known[candidate].seconds
        order = [c.settings for c in self.candidates]
        known = float(order.index(candidate.settings)) if seconds is None else seconds
        return candidate.pages, known

    def _fastest(self) -> list[Candidate]:
        return sorted((c for c, e in self.known.items() if self._near(e)), key=self._pace)

    def _leanest(self) -> Candidate:
        return min(self.known, key=lambda c: self.known[c].reserved)

    def _changes(self, found: Known) -> list[Candidate]:
        """Return single changes of the plain one, where that does not fit, the best first.

        The best is the fastest that makes it fit; where none does, what saves most.
        """
        plain = found.get(self.plain)
        if not isinstance(plain, Found) or plain.holds:
            return []

        def rank(one: Candidate) -> tuple[bool, tuple[bool, float]]:
            reserved = self.known[one].reserved
            fits = reserved <= self.room
            return not fits, self._pace(one) if fits else (False, float(reserved))

        return sorted((c for c in self.known if c.differs_once(self.plain)), key=rank)


def _saves(lean: Found, row: Found) -> bool:
    return (lean.worst.device or 0) < (1 - WORTH) * (row.worst.device or 0)


def _verdict(found: Found | str | None) -> Verdict | Literal["error"] | None:
    if found is None:
        return None
    return found.verdict if isinstance(found, Found) else "error"
