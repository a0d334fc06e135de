"""The forecast of this machine's GPU against its allocator, on the harness's own step."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "forecasting"))

from asked import request

from harness import models
from harness.forecasting.request import Request, StageRequest
from harness.forecasting.result import Outcome
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


REQUESTS = {
    f"{model}-{method}-{train}": request(model, method, family=family, steps=((16, 128),), **train)
    for model, family, method, train in CASES
} | {
    f"{method}-{options}-{fraction:g}-{train}": request(
        "bert-base-uncased", method, options, steps=((16, 128),), **train
    ).model_copy(update={"stage": StageRequest(name="asked", fraction=fraction)})
    for method, options, fraction, train in STAGED
}


@pytest.mark.parametrize("name", REQUESTS)
def test_forecast_meets_the_allocator(name: str, foreseen: dict[str, Any]) -> None:
    if isinstance(foreseen[name], Exception):
        raise foreseen[name]
    compare_with_allocator(REQUESTS[name], foreseen[name])


def compare_with_allocator(asked: Request, foreseen: Outcome) -> None:
    device = torch.device("cuda", 0)
    settings = asked.train
    gc.collect()
    torch.cuda.empty_cache()  # what tests before this one left is not this one's
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
    allocated = foreseen.peak_allocated / reading.peak_allocated - 1
    reserved = foreseen.peak_reserved / reading.peak_reserved - 1
    print(
        f"forecast against allocator: {asked.model.name} {asked.method} {settings.precision}, "
        f"allocated {reading.peak_allocated} {allocated:+.4%}, reserved {reserved:+.4%}"
    )
    assert foreseen.peak_allocated == pytest.approx(reading.peak_allocated, rel=0.01)
    assert foreseen.peak_reserved == pytest.approx(reading.peak_reserved, rel=0.03)
