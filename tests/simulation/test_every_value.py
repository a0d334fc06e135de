"""Whatever the schema allows is forecast for a GPU and for the CPU, and runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from asked import SM86, forked, request
from bare import cells
from real import real_run

from harness.forecasting.cards import CARDS
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.models.config import build_config
from harness.models.spec import ModelSpec
from harness.shapes import BatchShape
from harness.simulation.fake import autocasts
from harness.simulation.step_forecast import forecast
from harness.simulation.target import CPU, Target
from harness.suite.settings import TrainSettings
from harness.tasks.families import FAMILIES, get_family

VALUES = [
    (name, value)
    for name, field in TrainSettings.model_fields.items()
    if get_origin(field.annotation) is Literal
    for value in get_args(field.annotation)
    if name != "loss"  # of language models: test_losses.py
    if name != "attention" or value in ("auto", "eager", "sdpa")  # the rest: test_attention.py
]
SWITCHES = [(name, True) for name, f in TrainSettings.model_fields.items() if f.annotation is bool]


@pytest.mark.parametrize(("name", "value"), [*VALUES, *SWITCHES, ("accumulate", 2), ("clip", None)])
def test_every_setting_is_forecast_and_runs(name: str, value: Any) -> None:
    settings = {name: value, **({"padding": "longest"} if name == "length_grouping" else {})}
    assert forked(forecast, request("tiny-bert", **settings)).peak_reserved
    here = request("tiny-bert", target=CPU, **settings)
    foreseen, real = forked(forecast, here), real_run(here)
    if not autocasts(
        here
    ):  # there the CPU casts other operators than a GPU, which nobody forecasts
        assert abs(foreseen.peak_allocated - real.peak) <= 64


MODELS = {"causal_lm": "tiny-llama", "seq2seq": "tiny-bart", "image": "tiny-swin"}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_forecast_as_a_bare_shape(tmp_path: Path, family: str) -> None:
    shape = f"tasks=[{{shape: {{family: {family}, batch_size: 2}}}}]"
    model = f"model.config={MODELS.get(family, 'tiny-bert')}"
    [cell] = cells(tmp_path, shape, model, "methods=[lora]", "seeds=[0]", "train.max_length=16")
    [entry] = forecast_cells(Forecaster(None, 1), [cell], [CARDS["l4"]])
    assert entry.error is None
    assert entry.peak_allocated


@pytest.mark.parametrize("target", [CPU, SM86])
def test_boft_is_forecast(target: Target) -> None:
    assert forked(forecast, request("tiny-bert", "peft", {"type": "BOFT"}, target=target)).at_rest


def test_images_may_be_no_squares() -> None:
    family = get_family("image")
    config = build_config(ModelSpec(config="tiny-vit"))
    config.image_size = [32, 64]
    model = torch.nn.Module()
    model.config = config  # type: ignore[assignment]
    batch = family.hollow_batch(model, BatchShape(2, 1), mask=False, dtype=torch.float32)
    assert batch["pixel_values"].shape == (2, 3, 32, 64)
