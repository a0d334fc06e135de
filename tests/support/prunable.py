"""Models whose heads and channels can be pruned, and LoRAPrune on them."""

from __future__ import annotations

from typing import Any

import torch
from tiny import batch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.models.catalogue import CATALOGUE
from harness.training.optim import apply_change
from methods import Change, Plan, surgery
from methods.loraprune.handle import LoraPruneHandle
from methods.loraprune.masks import MaskedSet
from methods.loraprune.method import LoraPrune

PLAN = Plan(num_steps=60, steps_per_epoch=5, num_epochs=12)
# name of a tiny model, what is different here: four groups of heads each, or two where it says so
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("tiny-bert", {"num_attention_heads": 4}),
    "roberta": ("tiny-roberta", {"num_attention_heads": 4}),
    "deberta": ("tiny-deberta-v2", {"num_attention_heads": 4}),
    "deberta-own-positions": ("tiny-deberta-v2", {"num_attention_heads": 4}
                              | {"share_att_key": False}),
    "gpt2": ("tiny-gpt2", {"n_head": 4, "n_inner": 64}),
    "llama": ("tiny-llama", {"num_attention_heads": 8, "num_key_value_heads": 4}),
    "llama-wide": ("tiny-llama", {"num_attention_heads": 8, "num_key_value_heads": 4}
                   | {"head_dim": 8, "attention_bias": True, "mlp_bias": True}),
    "vit": ("tiny-vit", {"num_attention_heads": 4}),
}  # fmt: skip
FAST = {"interval": 2, "warm_up": 0.0, "cool_down": 0.5}  # masks in steps 2, 4, .., 28 of 60


def build(name: str, attention: str = "eager") -> nn.Module:
    from transformers import (
        AutoConfig,
        AutoModelForImageClassification,
        AutoModelForSequenceClassification,
    )

    tiny, changed = MODELS[name]
    entry = CATALOGUE[tiny]
    config = AutoConfig.for_model(entry.model_type, **entry.config | changed)
    config.pad_token_id = 0
    kind = AutoModelForImageClassification if name == "vit" else AutoModelForSequenceClassification
    torch.manual_seed(0)
    model: nn.Module = kind.from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():  # no bias is 0
        for key, parameter in model.named_parameters():
            if key.endswith(".bias"):
                parameter.normal_(std=0.1)
    return model


def inputs(model: nn.Module) -> dict[str, Tensor]:
    if surgery.family(model) == "vit":
        generator = torch.Generator().manual_seed(1)
        return {"pixel_values": torch.randn(2, 3, 32, 32, generator=generator)}
    found = batch()
    found["attention_mask"][0, 7:] = 0  # padding, so that masks are there
    return found


def logits(model: nn.Module) -> Tensor:
    model.eval()
    with torch.no_grad():
        found: Tensor = model(**inputs(model)).logits
    return found


def attach(name: str = "bert", plan: Plan = PLAN, **options: Any) -> LoraPruneHandle:
    model = build(name)
    torch.manual_seed(0)
    options.setdefault("targets", "all-linear")
    handle = LoraPrune(r=4, **options).attach(model, plan)
    assert isinstance(handle, LoraPruneHandle)
    return handle


def disturb(handle: LoraPruneHandle) -> None:
    """Bring the adapter far from where it starts, and importances to arbitrary values."""
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.normal_(std=0.3)
        for unit in handle.sets:
            if unit.average is not None:
                unit.average.uniform_()


def drive(
    handle: LoraPruneHandle, optimizer: Optimizer, start: int, stop: int
) -> list[Change | None]:
    """Run the loop's order of hooks; returns what each step changed after the optimizer."""
    changes = []
    labels = torch.tensor([0, 1])
    for step in range(start, stop):
        handle.model.eval()  # dropout draws by shape, and shapes change
        loss = handle.model(**inputs(handle.model), labels=labels).loss
        assert loss.isfinite()
        loss.backward()
        assert not handle.on_gradients(step)
        optimizer.step()
        changes.append(handle.on_step(step))
        if changes[-1]:
            apply_change(optimizer, changes[-1])
        optimizer.zero_grad()
    return changes


def sgd(handle: LoraPruneHandle) -> Optimizer:
    return torch.optim.SGD([p for p in handle.model.parameters() if p.requires_grad], lr=0.05)


def gone(unit: MaskedSet) -> set[int]:
    """Return which groups of the model as built are masked or taken out."""
    live = unit.left if unit.mask is None else unit.left[unit.mask]
    return set(range(unit.groups.count)) - set(live.tolist())
