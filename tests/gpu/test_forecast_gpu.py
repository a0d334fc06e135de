"""The forecast of this machine's GPU against its allocator, on the harness's own step."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "forecasting"))

from asked import request

from harness.forecasting.result import Outcome
from harness.simulation.real import measure
from harness.simulation.request import Request, StageRequest

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


QV = {"lora": {"r": 4, "targets": "qv"}}
STAGED: list[tuple[str, dict[str, Any], float, dict[str, Any]]] = [
    ("safe", {"over": QV, "tau": 0.5}, 0.5, {"attention": "eager"}),
    ("safe", {"over": QV, "tau": 0.5}, 0.5, {"gradient_checkpointing": True}),
    ("safe", {"over": QV, "tau": 0.5, "merge": True}, 0.75, {}),
    ("aflora", {"r": 4}, 0.0, {"attention": "eager"}),
    ("aflora", {"r": 4}, 1.0, {}),
    ("adapterdrop", {"over": QV}, 0.5, {}),
    ("houlsby", {}, 0.0, {}),
    ("meft", {"reversible": "all", "chunk": 4}, 0.0, {}),
    ("loraprune", {"r": 4}, 0.0, {}),
    ("loraprune", {"r": 4}, 0.5, {"attention": "eager"}),
    ("adalora", {}, 0.0, {}),
    ("sora", {}, 0.5, {}),
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
    reading = measure(asked).reading
    allocated = foreseen.peak_allocated / reading.peak_allocated - 1
    reserved = foreseen.peak_reserved / reading.peak_reserved - 1
    print(
        f"forecast against allocator: {asked.model.name} {asked.method} {asked.train.precision}, "
        f"allocated {reading.peak_allocated} {allocated:+.4%}, reserved {reserved:+.4%}"
    )
    assert foreseen.peak_allocated == pytest.approx(reading.peak_allocated, rel=0.01)
    assert foreseen.peak_reserved == pytest.approx(reading.peak_reserved, rel=0.03)
