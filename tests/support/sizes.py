"""Models of their full size and of every family, without any weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from harness.models.load import build_model
from harness.models.spec import ModelSpec
from harness.tasks.families import get_family
from methods import Handle, Plan, get_method

PLAN = Plan(num_steps=10, steps_per_epoch=5, num_epochs=2)
HEADS = {
    "llama": "causal_lm",
    "gpt2": "causal_lm",
    "bart": "seq2seq",
    "vit": "image",
    "swin": "image",
}
# name: (family, layers, modules of "six" and of "qv" in the whole model)
FAMILIES = {
    "tiny-bert": ("bert", 4, 24, 8),
    "tiny-roberta": ("roberta", 4, 24, 8),
    "tiny-deberta-v2": ("deberta", 4, 24, 8),
    "tiny-gpt2": ("gpt2", 4, 16, 8),  # query, key and value are one module, and qv parts of it
    "tiny-llama": ("llama", 4, 24, 8),
    "tiny-bart": ("bart", 4, 32, 12),  # two decoder layers have cross-attention too
    "tiny-vit": ("vit", 4, 24, 8),
    "tiny-swin": ("swin", 4, 24, 8),
}


def build(name: str) -> nn.Module:
    """Return a catalogued model with the head that people give it."""
    return build_with(name, HEADS.get(name.split("-")[0], "classification"))


def build_classifier(name: str) -> nn.Module:
    """Return a catalogued model that classifies, images where it sees them."""
    return build_with(name, "image" if name in {"tiny-vit", "tiny-swin"} else "classification")


def build_with(name: str, family: str) -> nn.Module:
    """Return a catalogued model with a family's head, on the meta device: shapes and names only."""
    with torch.device("meta"):
        return build_model(
            ModelSpec(config=name), get_family(family), 2, "eager", torch.float32, use_cache=False
        )


def attach(name: str, method: str, **options: Any) -> Handle:
    """Attach a method, and hold its formula for the count to what it attached."""
    model = build(name)
    chosen = get_method(method)(**options)
    expected = chosen.expected_count(model)
    handle = chosen.attach(model, PLAN)
    assert expected in (None, size(handle.adapter))
    return handle


def size(parameters: dict[str, Any]) -> int:
    """Count the numbers in all of them."""
    return sum(p.numel() for p in parameters.values())
