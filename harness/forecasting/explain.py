"""What holds a cell's peak, by place in the model, and what would take it away, at what price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.forecasting.cards import Card, target_of
from harness.forecasting.cells import error_on, judge, question
from harness.forecasting.changes import Change, changes_of
from harness.forecasting.forecaster import Answer, Asked, Forecaster
from harness.forecasting.requests import StepShapes, requests_of
from harness.forecasting.result import Forecast
from harness.simulation.request import Request
from harness.simulation.step_forecast import StepForecast

if TYPE_CHECKING:
    from harness.suite.cell import Cell

HELPS = 0.0005  # a change that saves less than this share of the peak is no help
FITS = ("fits", "tight")  # verdicts of what runs, the better one first
PAIRED = 4  # changes that are tried two at a time, where none alone is enough


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

    def fits(self, card: Card) -> bool:
        """Whether it fits on a card with room to spare."""
        return self.by_gpu[card.name].fits == FITS[0]

    def rank(self, card: Card) -> tuple[float, ...]:
        """Order choices for a card: what fits first and of it the fastest, then what saves most."""
        entry, need = self.by_gpu[card.name], need_of(self.step)
        if entry.fits not in FITS:
            return (len(FITS), need)
        seconds = seconds_of(entry)
        return (FITS.index(entry.fits), need if seconds is None else seconds, need)


@dataclass(frozen=True)
class Explanation:
    """A cell's step as it is, with one thing changed at a time, and with several.

    Attributes:
        cards: the first one's kernels are those of `step`.
        request: what `step` answers.
        entries: the cell's own verdicts.
        remedies: what helps, as `Remedy.rank` orders it for the first card.
        together: the change that saves most, the two that do, and so on; one that adds nothing is
            no row.
        enough: several together that fit the first card, where the cell as it is does not, and are
            faster than each single one that does; the fastest first.
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
    enough: list[Remedy] = field(default_factory=list)
    useless: list[str] = field(default_factory=list)
    impossible: dict[str, str] = field(default_factory=dict)


def explain(forecaster: Forecaster, cell: Cell, cards: Sequence[Card]) -> Explanation:
    """Forecast the cell's first stage, and again with every change that might save memory.

    Raises:
        UserError: the cell itself cannot be forecast.
    """
    return _Explainer(forecaster, cell, cards).run()


def as_they_are(
    forecaster: Forecaster, cells: Sequence[Cell], cards: Sequence[Card]
) -> list[Remedy]:
    """Forecast the first stages of cells, with nothing changed.

    Raises:
        UserError: one of them cannot be forecast.
    """
    explainers = [_Explainer(forecaster, cell, cards) for cell in cells]
    questions = [each.questions([[]]) for each in explainers]
    answers = iter(forecaster.ask([one for each in questions for one in each]))
    found = []
    for explainer, asked in zip(explainers, questions, strict=True):
        [own] = explainer.remedies([[]], asked, [next(answers) for _ in asked])
        found.append(explainer.answered(own))
    return found


class _Explainer:
    """Asks for one cell, on all cards."""

    def __init__(self, forecaster: Forecaster, cell: Cell, cards: Sequence[Card]) -> None:
        self.forecaster, self.cell, self.cards = forecaster, cell, cards
        self.shapes: StepShapes = forecaster.shapes([cell])[0]
        self.bases = [requests_of(cell, target_of(card), self.shapes)[0] for card in cards]

    def run(self) -> Explanation:
        changes = changes_of(self.bases[0])
        own, *singly = self._ask([[], *([change] for change in changes)])
        own = self.answered(own)
        peak = need_of(own.step)
        answers = list(zip(changes, singly, strict=True))
        made = [(change, each) for change, each in answers if isinstance(each, Remedy)]
        helpful = [pair for pair in made if _saves(pair[1], peak)]
        helpful.sort(key=lambda pair: need_of(pair[1].step))
        # Of two changes of one setting the one that saves more.
        distinct = list({change.what: change for change, _ in reversed(helpful)}.values())[::-1]
        remedies = [remedy for _, remedy in helpful]
        several = self._together(distinct)
        return Explanation(
            cell=self.cell,
            cards=self.cards,
            request=self.bases[0],
            step=own.step,
            entries=own.by_gpu,
            remedies=sorted(remedies, key=lambda remedy: remedy.rank(self.cards[0])),
            together=several if len(several) > 1 else [],
            enough=[] if own.fits(self.cards[0]) else self._enough(distinct, remedies, several),
            useless=[change.text for change, remedy in made if not _saves(remedy, peak)],
            impossible={change.text: why for change, why in answers if isinstance(why, str)},
        )

    def answered(self, own: Remedy | str) -> Remedy:
        """Return the cell's own answer.

        Raises:
            UserError: it has none.
        """
        if isinstance(own, str):
            raise UserError(f"{self.cell.path}: {own}")
        return own

    def _together(self, changes: Sequence[Change]) -> list[Remedy]:
        """Add one change after the other, the one that saves most alone first."""
        chosen: list[Remedy] = []
        for remedy in self._ask([changes[:count] for count in range(1, len(changes) + 1)]):
            if isinstance(remedy, Remedy) and (
                not chosen or _saves(remedy, need_of(chosen[-1].step))
            ):
                chosen.append(remedy)
        return chosen

    def _enough(
        self, changes: Sequence[Change], singly: Sequence[Remedy], together: Sequence[Remedy]
    ) -> list[Remedy]:
        """Return pairs that fit the first card; else the first set that does, or most of it.

        What is not faster than a single change that fits is no offer.
        """
        card = self.cards[0]
        pairs = self._fitting(list(combinations(changes[:PAIRED], 2)))
        fitting = [remedy for remedy in singly if remedy.fits(card)]
        if fitting:
            best = min(remedy.rank(card) for remedy in fitting)
            return [pair for pair in pairs if pair.rank(card) < best]
        whole = next((remedy for remedy in together if remedy.fits(card)), None)
        if pairs or whole is None:
            return pairs
        taken = [change for change in changes if change.text in whole.changes]
        return self._fitting(list(combinations(taken, len(taken) - 1))) or [whole]

    def _fitting(self, several: Sequence[Sequence[Change]]) -> list[Remedy]:
        """Return those lists of changes that fit the first card, the fastest first."""
        card = self.cards[0]
        made = [each for each in self._ask(several) if isinstance(each, Remedy) and each.fits(card)]
        return sorted(made, key=lambda remedy: remedy.rank(card))

    def _ask(self, several: Sequence[Sequence[Change]]) -> list[Remedy | str]:
        """Return a remedy per list of changes, or why there is none."""
        asked = self.questions(several)
        return self.remedies(several, asked, self.forecaster.ask(asked))

    def questions(self, several: Sequence[Sequence[Change]]) -> list[Asked]:
        """Return what is asked for lists of changes, card by card."""
        return [
            question(_edited(base, changes), card)
            for changes in several
            for base, card in zip(self.bases, self.cards, strict=True)
        ]

    def remedies(
        self, several: Sequence[Sequence[Change]], asked: Sequence[Asked], answers: Sequence[Answer]
    ) -> list[Remedy | str]:
        """Return a remedy per list of changes, or why there is none, from the answers."""
        width = len(self.cards)
        return [
            self._remedy(
                changes,
                [one.request for one in asked[i * width : (i + 1) * width]],
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


def seconds_of(entry: Forecast) -> float | None:
    """Return the seconds of a step on the entry's card; None: its speed is not known."""
    return entry.step_time.seconds if entry.step_time else None


def _saves(remedy: Remedy, peak: int) -> bool:
    return need_of(remedy.step) < (1 - HELPS) * peak
