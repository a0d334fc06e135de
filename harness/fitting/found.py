"""A candidate with its full forecast."""

from __future__ import annotations

from dataclasses import dataclass

from harness.fitting.candidates import Candidate
from harness.fitting.verdict import Error, Verdict, known_error, verdict_of
from harness.forecasting.cards import Card
from harness.forecasting.cells import worst_of
from harness.forecasting.result import Forecast
from harness.forecasting.step_time import MeanStep
from harness.suite.cell import Cell


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
    def holds(self) -> bool:
        """Whether it is an answer: what is uncertain is one where the forecast itself fits."""
        margin = self.worst.margin or 0
        return self.verdict in ("fits", "tight") or (self.verdict == "uncertain" and margin >= 0)

    @property
    def step(self) -> MeanStep | None:
        """The step's time in the first stage; None: nothing is known of the card's speed."""
        return self.entries[0].step_time

    @property
    def seconds(self) -> float | None:
        """Of a step; None: nothing is known of the card's speed."""
        return self.step.seconds if self.step else None

    @property
    def at_least(self) -> list[str]:
        """What of a step is not timed, so that its seconds are a lower bound."""
        paged = ["moving paged states"] if self.candidate.pages else []
        return [*(self.step.at_least if self.step else []), *paged]

    @property
    def error(self) -> Error:
        """How far its reserved bytes may be off."""
        return known_error(self.cell.method, self.cell.train)


def found_of(
    candidate: Candidate, cell: Cell, entries: tuple[Forecast, ...], card: Card
) -> Found | str:
    """Return what a forecast found, or why there is none."""
    error = next((entry.error for entry in entries if entry.error), None)
    if error:
        return error
    worst = worst_of(entries)
    verdict = verdict_of(worst, card, known_error(cell.method, cell.train))
    return Found(candidate, cell, entries, worst, verdict)


def pace(found: Found) -> tuple[bool, float]:
    """Return what orders what was found: seconds of a step, or its bytes where none are known.

    Behind all others stands what takes longer than that, nobody knows how much.
    """
    if found.step is None:
        return False, float(found.worst.device or 0)
    return bool(found.at_least), found.step.seconds
