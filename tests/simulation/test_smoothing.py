"""Label smoothing acts in a forecast as it does in a step, for every family that has it."""

from __future__ import annotations

import pytest
import torch
from asked import forked, request
from torch import Tensor, nn

from harness.metering.ledger import Ledger
from harness.metering.meter import declared_tensors
from harness.models.load import load_model
from harness.simulation.fake import fake_run
from harness.simulation.request import Request
from harness.simulation.target import CPU
from harness.tasks.families import FAMILIES, get_family
from harness.training.attach import build_step
from methods import get_method

MODELS = {
    "classification": "tiny-bert",
    "causal_lm": "tiny-gpt2",
    "seq2seq": "tiny-bart",
    "image": "tiny-vit",
}


def real_batch(asked: Request, model: nn.Module) -> dict[str, Tensor]:
    hollow = asked.hollow_batch(model, asked.steps[0])
    torch.manual_seed(1)
    batch = {
        name: torch.randint(0, 2, value.shape) if value.dtype == torch.int64
        else torch.randn(value.shape)
        for name, value in hollow.items()
    }  # fmt: skip
    if "attention_mask" in batch:
        batch["attention_mask"][:, 0] = 1
        batch["attention_mask"][0, -1] = 0
    return batch


@pytest.mark.parametrize("family", MODELS)
def test_a_smoothed_step_is_forecast_to_the_byte(family: str) -> None:
    asked, plain = (
        request(MODELS[family], family=family, target=CPU, attention="eager", label_smoothing=s)
        for s in (0.1, 0.0)
    )
    kind = get_family(family)
    model = load_model(asked.model, family=kind, num_labels=2, attention="eager",
                       dtype=torch.float32, seed=0)  # fmt: skip
    state = build_step(model, get_method("lora")(), asked.plan(), asked.train,
                       torch.device("cpu"), kind)  # fmt: skip
    known = declared_tensors(state.model, state.handle)
    ledger, since = Ledger(known, optimizer=state.optimizer, model=state.model), 0
    with ledger:
        for number in range(2):
            since = len(ledger.events) if number else 0
            state.step.run(number, [real_batch(asked, state.model)], 1, ledger)
    forecast = forked(fake_run, asked).report
    assert abs(forecast.peak - ledger.report(since).peak) <= 64
    if family in {"causal_lm", "seq2seq"}:
        assert forecast.peak > forked(fake_run, plain).report.peak


@pytest.mark.parametrize("family", MODELS)
def test_without_smoothing_it_is_the_models_own_loss(family: str) -> None:
    kind = get_family(family)
    asked = request(MODELS[family], family=family, target=CPU)
    model = load_model(asked.model, family=kind, num_labels=2, attention="eager",
                       dtype=torch.float32, seed=0).eval()  # fmt: skip
    batch = real_batch(asked, model)
    outputs = model(**batch)
    torch.testing.assert_close(kind.smoothed_loss(outputs, batch, 0.0), outputs.loss)
    assert kind.smoothed_loss(outputs, batch, 0.5) != outputs.loss


def test_families_say_whether_they_smooth() -> None:
    assert {name for name in FAMILIES if get_family(name).smooths} == set(MODELS)
