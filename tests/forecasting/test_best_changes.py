"""Which changes are offered first: those that fit, of them the fastest; then several together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from bare import cells

from harness.forecasting.cards import CARDS, Card
from harness.forecasting.explain import Explanation, explain
from harness.forecasting.forecaster import Answer, Asked, Forecaster
from harness.reporting.explained import explanation_tables
from harness.simulation.request import Request
from harness.simulation.step_forecast import Need, StepForecast
from harness.timing.times import StepTime, Times
from harness.units import GIB

SIZE, SECONDS = 10.0, 1.0
# What each setting takes off, in GiB, and adds, in seconds.
PRICES: dict[str, tuple[Callable[[Request], bool], float, float]] = {
    "checkpointing": (lambda r: bool(r.train.gradient_checkpointing), 4.0, 0.4),
    "halves": (lambda r: r.train.accumulate > 1, 3.0, 0.1),
    "sgd": (lambda r: r.train.optimizer == "sgd", 2.0, -0.1),
}


class Priced(Forecaster):
    """Answers from the table above in place of forecasts."""

    def ask(self, questions: Sequence[Asked]) -> list[Answer]:
        return [self._answer(one) for one in questions]

    @staticmethod
    def _answer(one: Asked) -> StepForecast:
        made = [price for is_made, *price in PRICES.values() if is_made(one.request)]
        size = int((SIZE - sum(price[0] for price in made)) * GIB)
        seconds = SECONDS + sum(price[1] for price in made)
        time = StepTime(seconds=seconds, host=0.0, device=seconds, examples=8, tokens=384)
        return StepForecast(
            peak_allocated=size, peak_reserved=size, peak_expandable=size, num_segments=1,
            at_rest=0, saved_activations=0, peak_mark="backward", split={"activations": size},
            peaks={}, parameters=dict.fromkeys(
                ("total", "adapter_trainable", "head_trainable", "adapter_stored"), 1),
            flops_forward=1, flops_step=3, holds=[], modules={},
            needs={"training": Need(allocated=size, reserved=size, expandable=size)},
            times={clock.key(): Times(steps=[time]) for clock in one.clocks},
        )  # fmt: skip


def explained(tmp_path: Path, gib: float) -> Explanation:
    """Explain a cell of 10 GiB on an RTX 4090 of another size."""
    cell = cells(tmp_path, "methods=[full]", "seeds=[0]")[0]
    card: Card = replace(CARDS["rtx4090"], usable=int(gib * GIB), context=0)
    return explain(Priced(None, 1), cell, [card])


def changed(explanation: Explanation) -> list[list[str]]:
    return [[text.split(" (")[0] for text in r.changes] for r in explanation.enough]


CHECKPOINTING, HALVES = "gradient_checkpointing: true", "half the batch, accumulate twice as often"
SGD = "optimizer: sgd"


def test_what_fits_and_is_fastest_comes_first(tmp_path: Path) -> None:
    explanation = explained(tmp_path, 7.5)
    offered = [remedy.changes[0].split(" (")[0] for remedy in explanation.remedies]
    assert offered == [HALVES, CHECKPOINTING, SGD], "sgd is fastest, and does not fit"
    assert changed(explanation) == [[HALVES, SGD]], "1.0 s, where the best single one takes 1.1"


def test_where_no_single_change_is_enough_two_are_looked_for(tmp_path: Path) -> None:
    explanation = explained(tmp_path, 4.5)
    assert changed(explanation) == [[CHECKPOINTING, SGD], [CHECKPOINTING, HALVES]]
    table = explanation_tables(explanation)[2]
    assert table.texts[0][0] == f"{CHECKPOINTING} + {SGD}"
    assert table.texts[0][-1] == "1.30 (1,300 ms)"


@pytest.mark.parametrize(
    ("gib", "enough"), [(12.0, []), (1.5, [[CHECKPOINTING, HALVES, SGD]]), (0.9, [])]
)
def test_where_nothing_is_needed_or_enough_none_is_offered(
    tmp_path: Path, gib: float, enough: list[list[str]]
) -> None:
    assert changed(explained(tmp_path, gib)) == enough
