"""Bases in 16 bits: what has which type, a real step on the CPU, and its forecast."""

from __future__ import annotations

import pytest
import torch
from asked import forked, request
from real import real_model, real_run
from torch import nn

from harness.dtypes import PRESETS
from harness.simulation.built import default_stand_in
from harness.simulation.fake import fake_run
from harness.simulation.step_forecast import forecast
from harness.simulation.target import CPU
from harness.tasks.families import get_family
from harness.training.attach import build_step
from harness.training.precision import autocast, grad_scaler
from methods import get_method

BASES = {"bf16-weights": torch.bfloat16, "fp16-weights": torch.float16}


@pytest.mark.parametrize("precision", BASES)
@pytest.mark.parametrize("method", ["lora", "peft"])
def test_base_in_16_bits_adapters_and_head_in_fp32(precision: str, method: str) -> None:
    options = {"type": "LORA", "r": 4, "target_modules": "qv"} if method == "peft" else {}
    asked = request("tiny-bert", method, options, target=CPU, precision=precision)
    state = build_step(
        real_model(asked), get_method(method)(**options), asked.plan(), asked.train,
        torch.device("cpu"), get_family("classification"),
    )  # fmt: skip
    types = {p.dtype for p in state.model.parameters() if not p.requires_grad}
    trained = {p.dtype for p in state.model.parameters() if p.requires_grad}
    assert (types, trained) == ({BASES[precision]}, {torch.float32})
    assert not grad_scaler(PRESETS[precision], torch.device("cpu")).is_enabled()
    with autocast(PRESETS[precision], torch.device("cpu")):
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.float32, "no autocast"


CASES: list[tuple[str, str, str]] = [
    ("tiny-bert", "classification", "lora"),
    ("tiny-llama", "causal_lm", "lora"),
    ("tiny-gpt2", "causal_lm", "bitfit"),
    ("tiny-vit", "image", "full"),
]


@pytest.mark.parametrize(("model", "family", "method"), CASES)
def test_a_forecast_in_fp16_is_the_real_step(model: str, family: str, method: str) -> None:
    asked = request(model, method, family=family, target=CPU, precision="fp16-weights")
    found, real = forked(fake_run, asked).report, real_run(asked)
    assert abs(found.peak - real.peak) <= 64
    assert abs(found.at_rest - real.at_rest) <= 64


def test_both_halves_need_the_same_but_for_softmax_s_copy() -> None:
    """Eager attention casts scores up: of bf16 CUDA makes a copy first, of fp16 none."""

    def peak(precision: str, attention: str) -> int:
        asked = request("tiny-llama", steps=((4, 256),), precision=precision, attention=attention)
        assert default_stand_in(asked) == "meta"
        found: int = forked(forecast, asked).peaks["forward"]
        return found

    assert peak("fp16-weights", "sdpa") == peak("bf16-weights", "sdpa")
    assert peak("fp16-weights", "eager") < peak("bf16-weights", "eager")
