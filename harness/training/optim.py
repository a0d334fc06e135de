"""Optimizer, schedule, and the freeze primitive that keeps them in step with a method."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from itertools import product
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from harness.training.library_optimizers import OwnStates, plain
from harness.training.optimizers import build_optimizer

if TYPE_CHECKING:
    from harness.suite.settings import TrainSettings
    from methods.base import Change, Handle, Resized

# What a group of parameters is: (of the head, without weight decay).
KIND = "kind"


def make_optimizer(
    model: nn.Module,
    head: Iterable[nn.Parameter],
    settings: TrainSettings,
    foreach: bool | None = None,
    undecayed: Iterable[nn.Parameter] = (),
) -> Optimizer:
    """Build the optimizer over everything trainable.

    `foreach` makes torch's multi-tensor kernels explicit, for fake tensors that stand in for a
    GPU's; None chooses by the device.

    Groups: {adapter or base, head} x {weight decay, none}, all four of them, so that a tensor that
    begins to train later finds its own. Biases and normalisation weights do not decay, nor does
    what the method lists as `undecayed`; an adapter's vectors do, as in AFLoRA's released code.
    """
    head_ids = {id(parameter) for parameter in head}
    plain = _plain(model, undecayed)
    head_lr = settings.head_lr or settings.lr
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    described: list[dict[str, Any]] = [
        {
            "params": [p for p in trained if (id(p) in head_ids, id(p) in plain) == kind],
            "lr": head_lr if kind[0] else settings.lr,
            "weight_decay": 0.0 if kind[1] else settings.weight_decay,
            KIND: kind,
        }
        for kind in product((False, True), repeat=2)
    ]
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    last: Any = getattr(model, "get_output_embeddings", lambda: None)()
    ends = {*head_ids, *(id(p) for p in (last.parameters() if last is not None else ()))}
    return build_optimizer(described, settings, foreach, embeddings, ends)


def undecayed_parameters(model: nn.Module, handle: Handle) -> set[int]:
    """Return the ids of the parameters that weight decay leaves alone."""
    return _plain(model, handle.undecayed)


def _plain(model: nn.Module, undecayed: Iterable[nn.Parameter]) -> set[int]:
    plain = {id(parameter) for parameter in undecayed}
    for name, module in model.named_modules():
        is_norm = "norm" in type(module).__name__.lower() or "norm" in name.rpartition(".")[2]
        for key, parameter in module.named_parameters(recurse=False):
            if is_norm or key == "bias":
                plain.add(id(parameter))
    return plain


def make_schedule(optimizer: Optimizer, settings: TrainSettings, num_steps: int) -> LambdaLR:
    """Build the learning-rate schedule: linear warm-up, then linear, cosine or constant."""
    warm_up = math.ceil(settings.warmup * num_steps)

    def factor(step: int) -> float:
        if step < warm_up:
            return step / max(1, warm_up)
        done = (step - warm_up) / max(1, num_steps - warm_up)
        if settings.schedule == "constant":
            return 1.0
        if settings.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        return max(0.0, 1 - done)

    return LambdaLR(optimizer, factor)


def apply_change(optimizer: Optimizer, change: Change, plain: Collection[int] = ()) -> None:
    """Apply what a method announced to parameters and optimizer: the freeze primitive.

    Freezing a tensor drops its gradient before the optimizer can use it once more, its optimizer
    state, and its place in the group: with AdamW, a tensor whose gradient is merely zeroed goes on
    moving by momentum and decay. A resized tensor takes the old one's place in its group, with the
    optimizer's state of what is left of it. An added one goes to the adapter's group.

    Args:
        optimizer: over everything that trains.
        change: what the method announced.
        plain: ids of the parameters that weight decay leaves alone.
    """
    for parameter in change.frozen:
        parameter.requires_grad_(False)
        _leave(optimizer, parameter)
    for resized in change.resized:
        _replace(optimizer, resized)
    for parameter in change.added:
        parameter.requires_grad_(True)
        _adapter_group(optimizer, id(parameter) in plain)["params"].append(parameter)


def _adapter_group(optimizer: Optimizer, plain: bool) -> dict[str, Any]:
    groups = optimizer.param_groups
    return next((g for g in groups if g.get(KIND) == (False, plain)), groups[0])


def _replace(optimizer: Optimizer, resized: Resized) -> None:
    old, new, dim, kept = resized
    state = optimizer.state.get(old, {})
    group = _leave(optimizer, old)
    if not new.requires_grad:
        return
    (group or _adapter_group(optimizer, plain=False))["params"].append(new)
    if dim is None or kept is None or not state:
        return
    if isinstance(optimizer, OwnStates):
        optimizer.narrow(state, new, dim, kept)
    else:
        optimizer.state[new] = {
            key: value.index_select(dim, kept) if _has_all(value, old, dim) else value
            for key, value in state.items()
        }


def _has_all(value: Any, parameter: nn.Parameter, dim: int) -> bool:
    """Tell whether a state has an entry for each index of the dimension, as Adafactor's row has."""
    if not isinstance(value, torch.Tensor) or value.dim() != parameter.dim():
        return False
    return value.shape[dim] == parameter.shape[dim]


def _leave(optimizer: Optimizer, parameter: nn.Parameter) -> dict[str, Any] | None:
    parameter.grad = None
    optimizer.state.pop(parameter, None)
    own_group = None
    for group in optimizer.param_groups:
        kept = [p for p in group["params"] if p is not parameter]
        if len(kept) < len(group["params"]):
            own_group = group
        group["params"] = kept
    return own_group


def optimizer_state(optimizer: Optimizer, model: nn.Module) -> dict[str, Any]:
    """Return the optimizer's tensors by parameter name, and its groups' settings."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        "tensors": {
            names[id(p)]: {key: plain(value) for key, value in state.items()}
            for p, state in optimizer.state.items()
            if state
        },
        "groups": [
            {key: value for key, value in group.items() if key not in {"params", KIND}}
            for group in optimizer.param_groups
        ],
    }


def load_optimizer_state(saved: dict[str, Any], optimizer: Optimizer, model: nn.Module) -> None:
    """Put tensors and settings back; the groups hold the same parameters as when saved."""
    named = dict(model.named_parameters())
    for name, state in saved["tensors"].items():
        parameter = named[name]
        if isinstance(optimizer, OwnStates):
            optimizer.restore(parameter, state)
            continue
        optimizer.state[parameter] = {
            key: value if key == "step" or not isinstance(value, torch.Tensor)
            else value.to(parameter.device)
            for key, value in state.items()
        }  # fmt: skip
    for group, settings in zip(optimizer.param_groups, saved["groups"], strict=True):
        group.update(settings)
