"""Models that see are trained on text, with their towers beside it, and forecast so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from real import real_model, real_run
from tiny_models import tiny, tiny_config

from harness.models.positions import positions_of
from harness.models.spec import ModelSpec
from harness.shapes import BatchShape
from harness.simulation.fake import fake_run
from harness.simulation.request import Request
from harness.simulation.target import CPU
from harness.suite.settings import TrainSettings

CLOSE = 8192  # bytes


@pytest.mark.parametrize(
    ("model_type", "method"),
    [("qwen3_vl", "lora"), ("llava", "lora"), ("mistral3", "full")],
)
def test_text_through_a_seeing_model_is_forecast_as_it_runs(
    tmp_path: Path, model_type: str, method: str
) -> None:
    tiny_config(model_type).save_pretrained(tmp_path)
    asked = Request(
        model=ModelSpec(path=str(tmp_path)), family="causal_lm", num_labels=2, method=method,
        method_options={"targets": "all-linear"} if method == "lora" else {},
        train=TrainSettings(attention="sdpa"), steps=(BatchShape(2, 16, padded=False),), mask=True,
        target=CPU,
    )  # fmt: skip
    assert "Vision" in str(real_model(asked))  # the tower is there
    real, forecast = real_run(asked), fake_run(asked).report
    assert abs(forecast.peak - real.peak) <= CLOSE
    assert abs(forecast.at_rest - real.at_rest) <= CLOSE
    assert abs(forecast.saved - real.saved) <= CLOSE


def test_positions_of_a_tower_do_not_limit_text() -> None:
    with torch.device("meta"):
        model = tiny("llava", "AutoModelForImageTextToText")
    assert any("position_embedding" in name for name, _ in model.named_parameters())
    assert positions_of(model) is None
