"""Every kind of task is forecast, of a bare shape, too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bare import cells

from harness.forecasting.cards import CARDS
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.models.config import build_config
from harness.models.spec import ModelSpec
from harness.shapes import BatchShape
from harness.tasks.families import FAMILIES, get_family

MODELS = {"causal_lm": "tiny-llama", "seq2seq": "tiny-bart", "image": "tiny-swin"}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_forecast_as_a_bare_shape(tmp_path: Path, family: str) -> None:
    shape = f"tasks=[{{shape: {{family: {family}, batch_size: 2}}}}]"
    model = f"model.config={MODELS.get(family, 'tiny-bert')}"
    [cell] = cells(tmp_path, shape, model, "methods=[lora]", "seeds=[0]", "train.max_length=16")
    [entry] = forecast_cells(Forecaster(None, 1), [cell], [CARDS["l4"]])
    assert entry.error is None
    assert entry.peak_allocated


def test_images_may_be_no_squares() -> None:
    family = get_family("image")
    config = build_config(ModelSpec(config="tiny-vit"))
    config.image_size = [32, 64]
    model = torch.nn.Module()
    model.config = config  # type: ignore[assignment]
    batch = family.hollow_batch(model, BatchShape(2, 1), mask=False, dtype=torch.float32)
    assert batch["pixel_values"].shape == (2, 3, 32, 64)
