"""The log of a deep model from those of two shallow ones, and of any batch from those of two."""

from __future__ import annotations

from typing import Any

import pytest
from asked import forked, request

from harness.models.config import of_depth
from harness.simulation.depth import deepened
from harness.simulation.fake import fake_run
from harness.simulation.log import (
    Log,
    in_common,
    lagrange,
    log_of,
    replayed,
    stays_within,
    summed,
    weighted,
)  # fmt: skip
from harness.simulation.request import Request
from harness.simulation.step_forecast import StepForecast, forecast

DEPTH = 5


def log_at(asked: Request, depth: int) -> Log:
    with of_depth(depth):
        return log_of(fake_run(asked))


@pytest.mark.parametrize(
    ("method", "options", "train"),
    [
        ("full", {}, {}),
        ("lora", {"targets": "all-linear", "dropout": 0.1}, {"gradient_checkpointing": True}),
    ],
)  # fmt: skip
def test_one_layer_more_says_all_others(
    method: str, options: dict[str, Any], train: dict[str, Any]
) -> None:
    """Every move, every size and who makes what: the log is that of the deep model itself."""
    asked = request("tiny-llama", method, options, family="causal_lm", **train)
    two, three, real = (forked(log_at, asked, depth) for depth in (2, 3, DEPTH))
    found = deepened(two, three, 3, DEPTH)
    assert found is not None
    assert (found.moves, found.sizes, found.starts) == (real.moves, real.sizes, real.starts)
    assert [op for op, _ in found.makers] == [op for op, _ in real.makers]


def test_layers_that_differ_are_no_twins() -> None:
    asked = request("tiny-llama", "lora", {"layers": "upper-half"}, family="causal_lm")
    two, three, real = (forked(log_at, asked, depth) for depth in (2, 3, DEPTH))
    found = deepened(two, three, 3, DEPTH)
    assert found is None or found.sizes != real.sizes, "why `has_twins` asks for the options"


def test_a_batch_follows_from_two_others() -> None:
    def at(batch: int) -> Request:
        asked = request("tiny-llama", family="causal_lm", steps=((batch, 64),))
        return asked.model_copy(update={"evaluation": asked.steps[0]})

    logs = in_common([forked(log_at, at(batch), 2) for batch in (2, 3)])
    assert logs is not None
    law = weighted(logs, lagrange((2, 3), 11))
    step = forked(_forecast_at, at(11), 2)
    assert isinstance(step, StepForecast)
    needs = step.needs.values()
    found = replayed(law)
    assert found == (max(n.allocated for n in needs), max(n.reserved for n in needs))
    assert summed(law) <= found.allocated
    assert stays_within(law, found.reserved)
    assert not stays_within(law, found.reserved - 1)


def _forecast_at(asked: Request, depth: int) -> StepForecast:
    with of_depth(depth):
        return forecast(asked)


def test_lengths_are_of_second_degree() -> None:
    def at(length: int) -> Request:
        return request("tiny-bert", steps=((4, length),), attention="eager")

    logs = in_common([forked(log_at, at(length), 2) for length in (32, 64, 96)])
    assert logs is not None
    assert weighted(logs, lagrange((32, 64, 96), 128)).sizes == forked(log_at, at(128), 2).sizes


def test_logs_that_do_other_things_have_no_law() -> None:
    pair = [forked(log_at, request("tiny-bert", name), 2) for name in ("lora", "full")]
    assert in_common(pair) is None
