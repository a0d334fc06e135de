"""A check as a whole: figures, the file, and the base where versions are others than its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.budgets.compare import Finding, Verdict, any_moved, compare, judge
from harness.budgets.drift import Allowed, Base, allowances
from harness.budgets.figures import Figures, figures_of
from harness.budgets.file import Budget, refuse_other_kind
from harness.budgets.spot import Spot
from harness.comparing.ancestry import NoBase
from harness.errors import UserError


@dataclass(frozen=True)
class Asked:
    """What `check` is asked.

    Attributes:
        source: a suite's file or a run folder.
        budget: the budget file.
        cards: to look at; none: the file's.
        plugins: of the suite.
        against: a revision, for where versions are others than the file's.
    """

    source: Path
    budget: Path
    cards: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    against: str | None = None


@dataclass(frozen=True)
class Judged:
    """A verdict, and what it rests on.

    Attributes:
        versions: that are others than the file's: (package, the file's, here), by card.
        base: that was forecast here; None: it was not needed, or there is none.
        drifts: what the versions alone move beyond the tolerance: the base here against what the
            file said of it.
    """

    verdict: Verdict
    versions: Mapping[str, list[tuple[str, str, str]]]
    base: Base | None = None
    drifts: Sequence[Finding] = ()


def judged(budget: Budget, asked: Asked) -> Judged:
    """Hold the source's figures against the file.

    With the file's versions here the file alone judges, and so it does where nothing moved. Else
    the base is forecast here, too, and what the versions move is told apart from what the code
    does. Measured figures are judged by the file in any case: nobody measures the base again.

    Raises:
        UserError: the source or the cards are none that can be held against the file.
    """
    unknown = [card for card in asked.cards if card not in budget.cards]
    if unknown:
        held = ", ".join(budget.cards)
        raise UserError(
            f"--gpu {unknown[0]}: {asked.budget} holds budgets of {held}; `budget update --gpu "
            f"{unknown[0]}` adds one"
        )
    forecast = budget.kind == "forecast"
    cards = asked.cards or (tuple(budget.cards) if forecast else ())
    figures = figures_of(asked.source, cards, asked.plugins, forecast and budget.steps)
    refuse_other_kind(budget, figures)
    versions = _other_versions(budget, figures)
    verdict = compare(budget, figures, cards)
    if not (versions and forecast and any_moved(verdict)):
        return Judged(verdict, versions)
    allowed, base = _against_base(budget, asked, cards)
    verdict = compare(budget, figures, cards, allowed)
    drifts = [judge(spot, *one.drift, budget.tolerance)
              for spot, one in allowed.items() if one.drift]  # fmt: skip
    return Judged(verdict, versions, base, [one for one in drifts if one.kind != "within"])


def _other_versions(budget: Budget, figures: Figures) -> dict[str, list[tuple[str, str, str]]]:
    found = {}
    for card in figures.cards:
        then, now = budget.cards.get(card, {}), figures.software.get(card, {})
        differ = [
            (name, then.get(name, "none"), now.get(name, "none"))
            for name in dict.fromkeys((*then, *now))
            if then.get(name) != now.get(name)
        ]
        if then and differ:
            found[card] = differ
    return found


def _against_base(
    budget: Budget, asked: Asked, cards: tuple[str, ...]
) -> tuple[dict[Spot, Allowed], Base | None]:
    from harness.budgets.base import Question, base_of

    question = Question(asked.source, asked.budget, cards, asked.plugins, budget.steps)
    try:
        base = base_of(question, asked.against)
    except NoBase as error:
        return dict.fromkeys(budget.spots, Allowed(None, str(error))), None
    return allowances(budget, base), base
