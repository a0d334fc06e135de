"""What holds a cell's peak, by place in the model, and what would take it away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.forecasting.cards import Card, target_of
from harness.forecasting.cells import error_on, judge, question
from harness.forecasting.changes import Change, changes_of
from harness.forecasting.forecaster import Answer, Forecaster
from harness.forecasting.requests import StepShapes, requests_of
from harness.forecasting.result import Forecast
from harness.simulation.request import Request
from harness.simulation.step_forecast import StepForecast

if TYPE_CHECKING:
    from harness.suite.cell import Cell

HELPS = 0.0005  # a change that saves less than this share of the peak is no help


@dataclass(frozen=True)
class Remedy:
    """One change or several together, and the step with it on every card.

    Attributes:
        changes: what users would write.
        step: on the first card.
        by_gpu: the verdict on each card.
    """

    changes: tuple[str, ...]
    step: StepForecast
    by_gpu: dict[str, Forecast]


@dataclass(frozen=True)
class Explanation:
    """A cell's step as it is, with one thing changed at a time, and with several.

    Attributes:
        cards: the first one's kernels are those of `step`.
        request: what `step` answers.
        entries: the cell's own verdicts.
        remedies: what helps, the largest saving first.
        together: the best change, the two best, and so on; one that adds nothing is no row.
        useless: changes that apply and save nothing.
        impossible: changes that cannot be made, and why.
    """

    cell: Cell
    cards: Sequence[Card]
    request: Request
    step: StepForecast
    entries: dict[str, Forecast]
    remedies: list[Remedy]
    together: list[Remedy]
    useless: list[str] = field(default_factory=list)
    impossible: dict[str, str] = field(default_factory=dict)


def explain(forecaster: Forecaster, cell: Cell, cards: Sequence[Card]) -> Explanation:
    """Forecast the cell's first stage, and again with every change that might save memory.

    Raises:
        UserError: the cell itself cannot be forecast.
    """
    return _Explainer(forecaster, cell, cards).run()


class _Explainer:
    """Asks for one cell, on all cards."""

    def __init__(self, forecaster: Forecaster, cell: Cell, cards: Sequence[Card]) -> None:
        self.forecaster, self.cell, self.cards = forecaster, cell, cards
        self.shapes: StepShapes = forecaster.shapes([cell])[0]
        self.bases = [requests_of(cell, target_of(card), self.shapes)[0] for card in cards]

    def run(self) -> Explanation:
        changes = changes_of(self.bases[0])
        own, *singly = self._ask([[], *([change] for change in changes)])
        if not isinstance(own, Remedy):
            raise UserError(f"{self.cell.path}: {own}")
        peak = need_of(own.step)
        answers = list(zip(changes, singly, strict=True))
        made = [(change, each) for change, each in answers if isinstance(each, Remedy)]
        helpful = [pair for pair in made if _saves(pair[1], peak)]
        helpful.sort(key=lambda pair: need_of(pair[1].step))
        return Explanation(
            cell=self.cell,
            cards=self.cards,
            request=self.bases[0],
            step=own.step,
            entries=own.by_gpu,
            remedies=[remedy for _, remedy in helpful],
            together=self._together([change for change, _ in helpful]),
            useless=[change.text for change, remedy in made if not _saves(remedy, peak)],
            impossible={change.text: why for change, why in answers if isinstance(why, str)},
        )

    def _together(self, changes: Sequence[Change]) -> list[Remedy]:
        """Add one change after the other, the one that saves most alone first."""
        first_of_each = list({change.what: change for change in reversed(changes)}.values())[::-1]
        taken = [first_of_each[:count] for count in range(1, len(first_of_each) + 1)]
        chosen: list[Remedy] = []
        for remedy in self._ask(taken):
            if isinstance(remedy, Remedy) and (
                not chosen or _saves(remedy, need_of(chosen[-1].step))
            ):
                chosen.append(remedy)
        return chosen if len(chosen) > 1 else []

    def _ask(self, several: Sequence[Sequence[Change]]) -> list[Remedy | str]:
        """Return a remedy per list of changes, or why there is none."""
        requests = [
            question(_edited(base, changes), card)
            for changes in several
            for base, card in zip(self.bases, self.cards, strict=True)
        ]
        answers = self.forecaster.ask(requests)
        width = len(self.cards)
        return [
            self._remedy(
                changes,
                [one.request for one in requests[i * width : (i + 1) * width]],
                answers[i * width : (i + 1) * width],
            )
            for i, changes in enumerate(several)
        ]

    def _remedy(
        self, changes: Sequence[Change], requests: Sequence[Request], answers: Sequence[Answer]
    ) -> Remedy | str:
        steps = [answer for answer in answers if isinstance(answer, StepForecast)]
        if len(steps) < len(answers):
            pairs = zip(self.cards, answers, strict=True)
            return next(error_on(c, a) for c, a in pairs if not isinstance(a, StepForecast))
        told, sizes = self.shapes.assumptions, self.shapes.run_sizes(self.cell.train)
        by_gpu = {
            card.name: judge(self.cell, card, request, told, step, sizes)
            for card, request, step in zip(self.cards, requests, steps, strict=True)
        }
        return Remedy(tuple(change.text for change in changes), steps[0], by_gpu)


def _edited(request: Request, changes: Sequence[Change]) -> Request:
    for change in changes:
        request = change.edit(request)
    return request


def need_of(step: StepForecast) -> int:
    """Return the most that training, evaluation or probe allocate."""
    return max(need.allocated for need in step.needs.values())


def _saves(remedy: Remedy, peak: int) -> bool:
    return need_of(remedy.step) < (1 - HELPS) * peak
