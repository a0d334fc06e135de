"""A step of somebody else's against a suite's: the same model and step need the same bytes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from asked import forked, request

from harness.simulation.given.forecast import GivenForecast, forecast_given
from harness.simulation.given.plain import How, given_by
from harness.simulation.request import Request
from harness.simulation.step_forecast import StepForecast, forecast
from harness.tasks.families import get_family
from harness.training.attach import build_step
from harness.training.base import untrained
from methods import get_method

# Model, method, family, settings, and whether the model is built on `meta`.
CASES: list[tuple[str, str, str, dict[str, Any], bool]] = [
    ("tiny-bert", "lora", "classification", {"precision": "bf16", "clip": None}, False),
    ("tiny-llama", "lora", "causal_lm", {"gradient_checkpointing": True}, True),
    ("tiny-vit", "full", "image", {"attention": "eager", "precision": "bf16-weights"}, False),
]


def given(asked: Request, on_meta: bool) -> GivenForecast:
    """Build the request's model as anybody would, and forecast the plain step over it."""
    family, settings = get_family(asked.family), asked.train
    device = torch.device("meta" if on_meta else "cpu")
    with device:
        model = untrained(asked.model, family, asked.num_labels, settings)
    method = get_method(asked.method)(**asked.method_options)
    state = build_step(model.train(), method, asked.plan(), settings, device, family)
    keys = ("params", "lr", "weight_decay")
    groups = [{key: group[key] for key in keys} for group in state.optimizer.param_groups]
    batch = {
        name: torch.zeros_like(value, device="cpu")
        for name, value in asked.hollow_batch(model, asked.steps[-1]).items()
    }
    if "attention_mask" in batch:
        batch["attention_mask"][:, :-1] = 1  # one token of padding: a mask that must be used
    how = How(clip=settings.clip, autocast="bf16" if settings.dtypes.autocast else None)
    optimizer = torch.optim.AdamW(groups)
    step = given_by({"model": state.model, "batch": batch, "optimizer": optimizer}, how)
    return forecast_given(step, asked.target, meta=how.autocast is None)


@pytest.mark.parametrize(("model", "method", "family", "train", "on_meta"), CASES)
def test_a_step_needs_what_a_suite_says_of_it(
    model: str, method: str, family: str, train: dict[str, Any], on_meta: bool
) -> None:
    asked = request(model, method, family=family, **train)
    suite: StepForecast = forked(forecast, asked)
    found = forked(given, asked, on_meta)
    assert found.allocated == suite.peak_allocated
    assert found.reserved == suite.peak_reserved
    assert sum(place.num_bytes for place in found.places) == found.allocated
    assert not found.remarks
