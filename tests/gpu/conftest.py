"""Forecasts are made first of all: no fork survives a GPU's threads."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def foreseen(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return this GPU's forecast, or the error, of every request of gpu_requests."""
    if not torch.cuda.is_available():
        return {}
    from gpu_requests import REQUESTS

    from harness.forecasting.cards import canonical
    from harness.forecasting.pool import run_forked
    from harness.gpus import capability
    from harness.simulation.step_forecast import forecast

    target = canonical(capability())
    names = list(REQUESTS)
    asked = [REQUESTS[name].model_copy(update={"target": target}) for name in names]
    tasks = [(forecast, (one,)) for one in asked]
    return {names[i]: answer for i, answer in run_forked(tasks, workers=os.cpu_count() or 1)}
