"""Tiny models and one training step on them, for the tests of methods."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.models.load import load_model
from harness.models.spec import ModelSpec
from harness.tasks.families import get_family
from methods import Handle, Plan, surgery

PLAN = Plan(num_steps=10, steps_per_epoch=5, num_epochs=2)


def build(
    name: str = "tiny-bert",
    head: str = "classification",
    labels: int = 2,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    attention: str = "eager",
) -> nn.Module:
    return load_model(
        ModelSpec(config=name),
        family=get_family(head),
        num_labels=labels,
        attention=attention,
        dtype=dtype,
        seed=seed,
    )


def batch() -> dict[str, Tensor]:
    ids = torch.arange(5, 25).view(2, 10)
    ids[:, -1] = 2  # BART classifies by its end-of-text token
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def backward(handle: Handle) -> None:
    """Run one forward and backward pass with the term that the method adds."""
    classifies = surgery.head_parameters(handle.model)
    labels = torch.tensor([0, 1]) if classifies else batch()["input_ids"]
    loss = handle.model(**batch(), labels=labels).loss
    extra = handle.loss()
    (loss if extra is None else loss + extra).backward()


def drive(
    handle: Handle,
    optimizer: Optimizer,
    steps: range,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Run these steps, in the loop's order around the optimizer; `look` after each."""
    for step in steps:
        torch.manual_seed(step)  # the model's own dropout
        backward(handle)
        optimizer.step()
        handle.on_step(step)
        optimizer.zero_grad()
        look()


def logits(model: nn.Module) -> Tensor:
    model.eval()
    with torch.no_grad():
        found: Tensor = model(**batch()).logits
    return found
