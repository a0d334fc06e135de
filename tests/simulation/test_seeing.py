"""Models that see are trained on text, with their towers beside it, and forecast so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from architectures import request
from real import real_run
from tiny_models import tiny, tiny_config

from harness.models.positions import positions_of
from harness.simulation.fake import fake_run
from harness.simulation.target import CPU

CLOSE = 8192  # bytes


@pytest.mark.parametrize(
    ("model_type", "method"),
    [("qwen3_vl", "lora"), ("qwen2_5_vl", "full"), ("llava", "lora"), ("mistral3", "full")],
)
def test_text_through_a_seeing_model_is_forecast_as_it_runs(
    tmp_path: Path, model_type: str, method: str
) -> None:
    tiny_config(model_type).save_pretrained(tmp_path)
    asked = request(tmp_path, "causal_lm", model_type, method, CPU, 16)
    real = real_run(asked)
    forecast = fake_run(asked).report
    assert abs(forecast.peak - real.peak) <= CLOSE
    assert abs(forecast.at_rest - real.at_rest) <= CLOSE
    assert forecast.total_params == real.total_params
    assert forecast.total_params == sum(
        p.numel() for p in tiny(model_type, "AutoModelForImageTextToText").parameters()
    )  # the tower is there


def test_positions_of_a_tower_do_not_limit_text() -> None:
    with torch.device("meta"):
        model = tiny("llava", "AutoModelForImageTextToText")
    assert any("position_embedding" in name for name, _ in model.named_parameters())
    assert positions_of(model) is None
