"""The course of one step says what the forecast of it says, and more."""

from __future__ import annotations

from typing import Any

import pytest
from asked import forked, request

from harness.simulation.step_forecast import StepForecast, forecast
from harness.simulation.target import CPU
from harness.simulation.timeline import Timeline, timeline

CASES: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora"},
    "full": {"method": "full"},
    "bf16": {"method": "lora", "precision": "bf16"},
    "accumulate": {"method": "lora", "accumulate": 2},
    "cpu": {"method": "full", "target": CPU},
}


@pytest.mark.parametrize("case", CASES)
def test_its_peak_is_the_forecast_s_and_every_point_is_split(case: str) -> None:
    asked = request("tiny-bert", steps=((8, 64), (8, 64), (8, 64)), **CASES[case])
    line: Timeline = forked(timeline, asked)
    step: StepForecast = forked(forecast, asked)
    at = line.peak
    assert line.allocated[at] == max(line.allocated) == step.peak_allocated
    assert max(line.reserved) == step.peak_reserved
    split = {name: sizes[at] for name, sizes in line.categories.items() if sizes[at]}
    assert split == {name: size for name, size in step.split.items() if size}
    for number, allocated in enumerate(line.allocated):
        assert sum(sizes[number] for sizes in line.categories.values()) == allocated
        tensors = allocated - line.categories["unsplit"][number]
        assert sum(sizes[number] for sizes in line.places.values()) == tensors
    passes = 2 if case == "accumulate" else 1
    names = [*["forward", "backward"] * passes, "optimizer"]
    assert [name for name, _ in line.parts] == names
    starts = [number for _, number in line.parts]
    assert starts == sorted(starts)
    assert starts[-1] < line.num_events
    assert line.numbers == sorted(line.numbers)
    assert line.numbers[-1] < line.num_events


def test_the_step_that_has_the_peak_is_followed() -> None:
    asked = request("tiny-bert", steps=((8, 120), (8, 16), (8, 64), (8, 32)))
    line: Timeline = forked(timeline, asked)
    assert (line.step, line.shape) == (2, (8, 64)), "of the second step and later ones"


def test_few_points_keep_the_peak() -> None:
    asked = request("tiny-bert", steps=((8, 64),))
    whole: Timeline = forked(timeline, asked, 10**6)
    few: Timeline = forked(timeline, asked, 20)
    assert len(few.numbers) <= 20 < len(whole.numbers)
    assert len(whole.numbers) == whole.num_events
    assert max(few.allocated) == max(whole.allocated)
    assert max(few.reserved) == max(whole.reserved)


def test_parameters_stand_at_their_modules() -> None:
    line: Timeline = forked(timeline, request("tiny-bert", "full"))
    query = line.places["bert.encoder.layer.*.attention.self.query"]
    assert query[0] > 0, "weights and the optimizer's state, between two steps"
    assert not any(name.endswith((".weight", ".bias")) for name in line.places)
