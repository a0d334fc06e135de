"""Label smoothing acts in a forecast as it does in a step, for every family that has it."""

from __future__ import annotations

import pytest
import torch
from asked import forked, request
from real import real_batch, real_model, real_run

from harness.simulation.fake import fake_run
from harness.simulation.target import CPU
from harness.tasks.families import FAMILIES, get_family

MODELS = {
    "classification": "tiny-bert",
    "causal_lm": "tiny-gpt2",
    "seq2seq": "tiny-bart",
    "question_answering": "tiny-bert",
    "image": "tiny-vit",
}


@pytest.mark.parametrize("family", MODELS)
def test_a_smoothed_step_is_forecast_to_the_byte(family: str) -> None:
    asked, plain = (
        request(MODELS[family], family=family, target=CPU, attention="eager", label_smoothing=s)
        for s in (0.1, 0.0)
    )
    forecast = forked(fake_run, asked).report
    assert abs(forecast.peak - real_run(asked).peak) <= 64
    if family in {"causal_lm", "seq2seq"}:
        assert forecast.peak > forked(fake_run, plain).report.peak


@pytest.mark.parametrize("family", MODELS)
def test_without_smoothing_it_is_the_models_own_loss(family: str) -> None:
    kind = get_family(family)
    asked = request(MODELS[family], family=family, target=CPU, attention="eager")
    model = real_model(asked).eval()
    batch = real_batch(asked, model)
    outputs = model(**batch)
    torch.testing.assert_close(kind.smoothed_loss(outputs, batch, 0.0), outputs.loss)
    assert kind.smoothed_loss(outputs, batch, 0.5) != outputs.loss


def test_families_say_whether_they_smooth() -> None:
    assert {name for name in FAMILIES if get_family(name).smooths} == set(MODELS)
