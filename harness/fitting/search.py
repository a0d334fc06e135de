"""The search: what estimates put in order, full forecasts decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from harness.errors import UserError
from harness.fitting.candidates import Candidate, as_typed, candidates_of, cells_or_refusals
from harness.fitting.found import Found, found_of
from harness.fitting.kept import kept_estimates
from harness.fitting.plans import TRIES, OfKind, Plan
from harness.fitting.wanted import Wanted
from harness.forecasting.cells import forecast_cells
from harness.forecasting.estimates import Estimate
from harness.forecasting.forecaster import Forecaster
from harness.suite.cell import Cell

Tell = Callable[[Found], None]


def search(forecaster: Forecaster, wanted: Wanted, tell: Tell) -> list[OfKind]:
    """Return what was found of every kind; the first one is looked at first.

    Args:
        forecaster: that answers.
        wanted: the question.
        tell: is told of every candidate that was forecast.

    Raises:
        UserError: there is no candidate of any kind, or all kinds fail of one reason.
    """
    return _Search(forecaster, wanted, tell).run()


class _Search:
    """Asks for one `Wanted`."""

    def __init__(self, forecaster: Forecaster, wanted: Wanted, tell: Tell) -> None:
        self.forecaster, self.wanted, self.tell = forecaster, wanted, tell
        self.found: dict[Candidate, Found | str] = {}

    def run(self) -> list[OfKind]:
        """Forecast the plain ones, estimate what else there is, forecast what may be shown."""
        plans, refused = self._plans()
        self._forecast(plan.plain for plan in plans)
        self._refuse_alike(plans)
        for plan in plans:
            self._estimate(plan)
            self._forecast(plan.first())
        for _ in range(TRIES):
            self._forecast(each for plan in plans for each in plan.next(self.found))
        return [*(plan.result(self.found) for plan in plans), *refused]

    def _plans(self) -> tuple[list[Plan], list[OfKind]]:
        """Return a plan for each kind that has candidates, and why the others have none."""
        plans, refused = [], []
        for kind in self.wanted.kinds:
            try:
                candidates = candidates_of(kind, self.wanted)
            except UserError as error:
                refused.append(OfKind(kind, error=str(error)))
            else:
                plans.append(Plan(kind, candidates, self.wanted.card.capacity))
        if not plans:
            raise UserError("\n       ".join(dict.fromkeys(kind.error for kind in refused)))
        return plans, refused

    def _refuse_alike(self, plans: Sequence[Plan]) -> None:
        """End where every kind fails of one reason: it is the model's, or the length's."""
        found = [self.found[plan.plain] for plan in plans]
        reasons = {each for each in found if isinstance(each, str)}
        if len(reasons) == 1 and not any(isinstance(each, Found) for each in found):
            raise UserError(as_typed(reasons.pop()))

    def _estimate(self, plan: Plan) -> None:
        """Estimate what may be worth a forecast."""
        plain = self.found[plan.plain]
        if isinstance(plain, Found):
            reserved = (plain.worst.device or 0) - self.wanted.card.context
            seconds = plain.step.seconds if plain.step else None
            plan.add([(plan.plain, Estimate(reserved=reserved, seconds=seconds))])
        self._add(plan, plan.ends())
        self._add(plan, plan.worth(self.found))
        while split := plan.split():
            self._add(plan, split)

    def _add(self, plan: Plan, candidates: Sequence[Candidate]) -> None:
        candidates = [each for each in candidates if each not in plan.known]
        if candidates:
            possible = self._possible(candidates)
            cells = list(possible.values())
            answers = kept_estimates(self.forecaster, cells, self.wanted.card)
            plan.add(zip(possible, answers, strict=True))

    def _possible(self, candidates: Sequence[Candidate]) -> dict[Candidate, Cell]:
        """Return cells; why there is none is what was found of a candidate."""
        possible = {}
        cells = cells_or_refusals(self.wanted, candidates)
        for candidate, cell in zip(candidates, cells, strict=True):
            if isinstance(cell, Cell):
                possible[candidate] = cell
            else:
                self.found[candidate] = str(cell)
        return possible

    def _forecast(self, candidates: Iterable[Candidate]) -> None:
        """Forecast candidates in full, as many at a time as there are workers."""
        todo = [each for each in dict.fromkeys(candidates) if each not in self.found]
        card, width = self.wanted.card, self.forecaster.workers
        for start in range(0, len(todo), width):
            some = todo[start : start + width]
            possible = self._possible(some)
            entries = forecast_cells(self.forecaster, list(possible.values()), [card])
            for candidate, cell in possible.items():
                own = tuple(entry for entry in entries if entry.cell == cell.path)
                found = self.found[candidate] = found_of(candidate, cell, own, card)
                if isinstance(found, Found):
                    self.tell(found)
