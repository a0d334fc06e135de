"""Of a step's many forward passes the forecast runs three: every figure is that of all of them."""

from __future__ import annotations

from typing import Any

import pytest
from asked import SM86, forked, request

from harness.simulation import fake
from harness.simulation.step_forecast import forecast
from harness.simulation.target import Target

CPU = Target(kind="cpu")
CASES: list[tuple[str, dict[str, Any], Target, dict[str, Any]]] = [
    ("full", {}, SM86, {}),
    ("lora", {"dropout": 0.1}, SM86, {}),
    ("lora", {}, CPU, {}),
    ("meft", {}, SM86, {}),
    ("loraprune", {}, SM86, {}),
    ("lora", {}, SM86, {"outputs": "kept"}),
    ("full", {}, SM86, {"gradient_checkpointing": True, "precision": "bf16"}),
]


@pytest.mark.parametrize(("method", "options", "target", "train"), CASES, ids=range(len(CASES)))
def test_three_passes_say_what_all_say(
    method: str,
    options: dict[str, Any],
    target: Target,
    train: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = ((4, 32), (8, 48), (4, 40))
    asked = request("tiny-bert", method, options, target=target, steps=steps, accumulate=5, **train)
    apart = {"seconds", "host_peak"}
    few = forked(forecast, asked).model_dump(exclude=apart)
    monkeypatch.setattr(fake, "MOST_PASSES", 5)
    assert few == forked(forecast, asked).model_dump(exclude=apart)


def test_the_passes_are_bounded() -> None:
    """As many events, so as much time, for 100 passes as for 4."""
    runs = [forked(fake.fake_run, request("tiny-bert", accumulate=count)) for count in (4, 100)]
    assert len({len(run.events) for run in runs}) == 1
    assert runs[1].flops_step == 25 * runs[0].flops_step
