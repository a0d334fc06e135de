"""From a trace to a step's seconds: parts, passes, what is beside; and a real trace."""

from __future__ import annotations

from functools import cache

import pytest

from harness.forecasting.cards import find_card, target_of
from harness.models.spec import ModelSpec
from harness.shapes import BatchShape
from harness.simulation.fake import fake_run
from harness.simulation.request import Request
from harness.suite.settings import TrainSettings
from harness.timing.clock import Clock, Machine
from harness.timing.estimate import times_of
from harness.timing.times import Times
from harness.timing.trace import Tracer

L40S = find_card("l40s")


@cache
def traced(model: str = "tiny-llama", evaluation: bool = True, **settings: object) -> Tracer:
    """Return the trace of a small step with LoRA."""
    shape = BatchShape(2, 16)
    given = {"attention": "sdpa", "accumulate": 1, "clip": 1.0} | settings
    request = Request(
        model=ModelSpec(config=model), family="causal_lm", num_labels=2, method="lora",
        method_options={"r": 2, "targets": "qv"}, train=TrainSettings(**given), steps=(shape,),
        evaluation=shape if evaluation else None, mask=False, target=target_of(L40S),
    )  # fmt: skip
    tracer = Tracer()
    fake_run(request, tracer=tracer)
    return tracer


def timed(host: float = 12e-6, accumulate: int = 1, **settings: object) -> Times:
    """Return the times of that step on an L40S."""
    clock = Clock(device="l40s", capability=L40S.capability, sheet=L40S.clock.sheet,
                  machine=Machine(host=host))  # fmt: skip
    return times_of(traced(accumulate=accumulate, **settings), clock, accumulate)


def test_parts_sum_to_the_step_and_what_is_beside_has_one() -> None:
    times = timed()
    (step,) = times.steps
    assert set(step.parts) == {"forward", "backward", "optimizer"}
    assert sum(step.parts.values()) == pytest.approx(step.seconds)
    assert all(part > 0 for part in step.parts.values())
    assert (step.examples, step.tokens) == (2, 32)
    assert step.seconds >= max(step.host, step.device)
    assert times.evaluation is not None
    assert set(times.evaluation.parts) == {"evaluation"}
    assert times.evaluation.host < step.host
    assert times.at_least == []


def test_a_slower_host_makes_a_small_step_slower_in_proportion() -> None:
    slow, fast = (timed(host=host).steps[0] for host in (24e-6, 12e-6))
    assert slow.host == pytest.approx(2 * fast.host)
    assert slow.device == fast.device
    assert slow.seconds == pytest.approx(2 * fast.seconds, rel=0.05)


@pytest.mark.parametrize("accumulate", [2, 3])
def test_all_passes_of_a_step_are_counted(accumulate: int) -> None:
    one, several = timed().steps[0], timed(accumulate=accumulate).steps[0]
    assert several.tokens == accumulate * one.tokens
    for part in ("forward", "backward"):
        assert several.parts[part] == pytest.approx(accumulate * one.parts[part], rel=0.15)
    assert several.parts["optimizer"] == pytest.approx(one.parts["optimizer"], rel=0.15)


def test_middle_passes_stand_for_those_that_are_not_traced() -> None:
    three, ten, eleven = (timed(accumulate=n).steps[0] for n in (3, 10, 11))
    assert (ten.tokens, eleven.tokens) == (320, 352)
    assert eleven.seconds - ten.seconds == pytest.approx((ten.seconds - three.seconds) / 7)
    assert eleven.host - ten.host == pytest.approx((ten.host - three.host) / 7)
    assert eleven.device - ten.device == pytest.approx((ten.device - three.device) / 7)
    assert sum(ten.parts.values()) == pytest.approx(ten.seconds)


def test_recomputing_takes_longer_backward_alone() -> None:
    plain, again = (
        timed(gradient_checkpointing=on, evaluation=False).steps[0] for on in (False, True)
    )
    assert again.device > plain.device
    assert again.parts["backward"] > plain.parts["backward"]
    assert again.parts["forward"] == pytest.approx(plain.parts["forward"], rel=0.2)


def test_an_optimizer_of_unknown_cost_makes_the_time_a_lower_bound() -> None:
    assert timed(optimizer="adamw-8bit", evaluation=False).at_least == []
    paged = timed(optimizer="adamw-paged-8bit", evaluation=False)
    assert paged.at_least == ["bitsandbytes::optimizer_update"]


def test_4_bit_weights_are_dequantised_in_both_directions() -> None:
    tracer = traced(evaluation=False, weights="nf4", compute="bf16")
    rows = [row for row in tracer.rows["step 1"] if row.op == "bitsandbytes::dequantize_4bit"]
    assert {row.part for row in rows} == {"forward", "backward"}
    for row in rows:
        packed, made = row.reads[0][1], row.writes[0][1]
        assert made == 4 * packed  # half a byte to two bytes
