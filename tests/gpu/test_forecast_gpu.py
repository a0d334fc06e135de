"""The forecast of this machine's GPU against its allocator, on the harness's own step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "forecasting"))

from asked import forked, request

from harness import models
from harness.forecasting.assemble import canonical
from harness.forecasting.request import Request, StageRequest
from harness.forecasting.work import forecast
from harness.memory.cuda import CudaMeter
from harness.memory.fakeinputs import make_batch
from harness.optim import apply_change, make_optimizer
from harness.precision import weight_dtype
from harness.prepare import attach
from harness.step import NoWatch, Step
from methods import get_method
from methods.base import Plan, Stage

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]
CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("bert-base-uncased", "classification", "lora", {"attention": "eager"}),
    ("bert-base-uncased", "classification", "full", {"attention": "sdpa"}),
    ("bert-base-uncased", "classification", "lora", {"precision": "bf16"}),
    ("bert-base-uncased", "classification", "lora", {"precision": "fp16"}),
    ("bert-base-uncased", "classification", "full", {"gradient_checkpointing": True}),
    ("gpt2-medium", "causal_lm", "lora", {"precision": "bf16-weights", "keep_outputs": True}),
    ("vit-base-patch16-224", "image", "lora", {}),
]


PLAN = Plan(num_steps=1000, steps_per_epoch=100, num_epochs=10)
QV = {"lora": {"r": 4, "targets": "qv"}}
STAGED: list[tuple[str, dict[str, Any], float, dict[str, Any]]] = [
    ("safe", {"over": QV, "tau": 0.5}, 0.5, {"attention": "eager"}),
    ("safe", {"over": QV, "tau": 0.5}, 0.5, {"gradient_checkpointing": True}),
    ("safe", {"over": QV, "tau": 0.5, "merge": True}, 0.75, {}),
    ("aflora", {"r": 4}, 0.0, {"attention": "eager"}),
    ("aflora", {"r": 4}, 1.0, {}),
    ("adapterdrop", {"over": QV}, 0.5, {}),
]


@pytest.mark.parametrize(("model", "family", "method", "train"), CASES)
def test_forecast_meets_the_allocator(
    model: str, family: str, method: str, train: dict[str, Any]
) -> None:
    compare_with_allocator(request(model, method, family=family, steps=((16, 128),), **train))


@pytest.mark.parametrize(("method", "options", "fraction", "train"), STAGED)
def test_forecast_of_a_stage_meets_the_allocator(
    method: str, options: dict[str, Any], fraction: float, train: dict[str, Any]
) -> None:
    asked = request("bert-base-uncased", method, options, steps=((16, 128),), **train)
    stage = StageRequest(name="asked", fraction=fraction)
    compare_with_allocator(asked.model_copy(update={"stage": stage}))


def compare_with_allocator(asked: Request) -> None:
    device = torch.device("cuda", 0)
    target = canonical(torch.cuda.get_device_capability(device))
    asked = asked.model_copy(update={"target": target})
    foreseen = forked(forecast, asked)  # a fork that never touches CUDA
    settings = asked.train
    real = models.load_model(
        asked.model, task_head=asked.family, num_labels=2, attention=settings.attention,
        dtype=weight_dtype(settings.precision), seed=0, use_cache=settings.keep_outputs,
    )  # fmt: skip
    method = get_method(asked.method)(**asked.method_options)
    handle, head = attach(real, method, PLAN, settings, device)
    optimizer = make_optimizer(handle.model, head, settings)
    apply_change(optimizer, handle.apply(Stage(asked.stage.name, asked.stage.fraction)))
    step = Step(handle.model, handle, optimizer, settings, device)
    meter = CudaMeter(device)
    for number in range(3):
        if number == 1:
            meter.start_phase()
        batch = {
            name: torch.zeros(value.shape, dtype=value.dtype, device=device)
            for name, value in make_batch(asked, handle.model, 16, 128).items()
        }
        if "attention_mask" in batch:
            batch["attention_mask"][:, :-1] = 1
        step.run(number, [batch], 1, NoWatch())
    reading = meter.read()
    assert foreseen.peak_allocated == pytest.approx(reading.peak_allocated, rel=0.01)
    assert foreseen.peak_reserved == pytest.approx(reading.peak_reserved, rel=0.03)
