"""The forecast of this machine's GPU against its allocator, on the harness's own step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gpu_requests import REQUESTS

from harness.simulation.real import measure
from harness.simulation.request import Request
from harness.simulation.step_forecast import StepForecast

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


@pytest.mark.parametrize("name", REQUESTS)
def test_forecast_meets_the_allocator(name: str, foreseen: dict[str, Any]) -> None:
    if isinstance(foreseen[name], Exception):
        raise foreseen[name]
    compare_with_allocator(REQUESTS[name], foreseen[name])


def compare_with_allocator(asked: Request, foreseen: StepForecast) -> None:
    reading = measure(asked).reading
    allocated = foreseen.peak_allocated / reading.peak_allocated - 1
    reserved = foreseen.peak_reserved / reading.peak_reserved - 1
    print(
        f"forecast against allocator: {asked.model.name} {asked.method} {asked.train.precision}, "
        f"allocated {reading.peak_allocated} {allocated:+.4%}, reserved {reserved:+.4%}"
    )
    assert foreseen.peak_allocated == pytest.approx(reading.peak_allocated, rel=0.01)
    assert foreseen.peak_reserved == pytest.approx(reading.peak_reserved, rel=0.03)
