"""The search: what estimates put in order, full forecasts decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from harness.fitting.candidates import Candidate, candidates_of, cells_of
from harness.fitting.found import Found, found_of
from harness.fitting.kept import kept_estimates
from harness.fitting.plans import TRIES, OfKind, Plan
from harness.fitting.wanted import Wanted
from harness.forecasting.cells import forecast_cells
from harness.forecasting.estimates import Estimate
from harness.forecasting.forecaster import Forecaster

Tell = Callable[[Found], None]


def search(forecaster: Forecaster, wanted: Wanted, tell: Tell) -> list[OfKind]:
    """Return what was found of every kind; the first one is looked at first.

    Args:
        forecaster: that answers.
        wanted: the question.
        tell: is told of every candidate that was forecast.
    """
    return _Search(forecaster, wanted, tell).run()


class _Search:
    """Asks for one `Wanted`."""

    def __init__(self, forecaster: Forecaster, wanted: Wanted, tell: Tell) -> None:
        self.forecaster, self.wanted, self.tell = forecaster, wanted, tell
        self.found: dict[Candidate, Found | str] = {}

    def run(self) -> list[OfKind]:
        """Forecast the plain ones, estimate what else there is, forecast what may be shown."""
        room = self.wanted.card.capacity
        plans = [Plan(kind, candidates_of(kind, self.wanted), room) for kind in self.wanted.kinds]
        self._forecast(plan.plain for plan in plans)
        for plan in plans:
            self._estimate(plan)
            self._forecast(plan.first())
        for _ in range(TRIES):
            self._forecast(each for plan in plans for each in plan.next(self.found))
        return [plan.result(self.found) for plan in plans]

    def _estimate(self, plan: Plan) -> None:
        """Estimate what may be worth a forecast."""
        plain = self.found[plan.plain]
        if isinstance(plain, Found):
            reserved = (plain.worst.device or 0) - self.wanted.card.context
            seconds = plain.step.seconds if plain.step else None
            plan.add([(plan.plain, Estimate(0, reserved, seconds))])
        self._add(plan, plan.ends())
        self._add(plan, plan.worth(self.found))
        while split := plan.split():
            self._add(plan, split)

    def _add(self, plan: Plan, candidates: Sequence[Candidate]) -> None:
        candidates = [each for each in candidates if each not in plan.known]
        if candidates:
            cells = cells_of(self.wanted, candidates)
            answers = kept_estimates(self.forecaster, cells, self.wanted.card)
            plan.add(zip(candidates, answers, strict=True))

    def _forecast(self, candidates: Iterable[Candidate]) -> None:
        """Forecast candidates in full, as many at a time as there are workers."""
        todo = [each for each in dict.fromkeys(candidates) if each not in self.found]
        card, width = self.wanted.card, self.forecaster.workers
        for start in range(0, len(todo), width):
            some = todo[start : start + width]
            cells = cells_of(self.wanted, some)
            entries = forecast_cells(self.forecaster, cells, [card])
            for candidate, cell in zip(some, cells, strict=True):
                own = tuple(entry for entry in entries if entry.cell == cell.path)
                found = self.found[candidate] = found_of(candidate, cell, own, card)
                if isinstance(found, Found):
                    self.tell(found)
