"""Optimizer, schedule, and the freeze primitive that keeps them in step with a method."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

if TYPE_CHECKING:
    from harness.suite.settings import TrainSettings
    from methods.base import Change, Resized


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

    Groups: {adapter or base, head} x {weight decay, none}. Biases and normalisation weights do not
    decay, nor does what the method lists as `undecayed`; an adapter's vectors do, as in AFLoRA's
    released code.
    """
    head_ids = {id(parameter) for parameter in head}
    plain = {id(p) for p in (*_undecayed(model), *undecayed)}
    head_lr = settings.head_lr or settings.lr
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            kind = (id(parameter) in head_ids, id(parameter) in plain)
            groups.setdefault(kind, []).append(parameter)
    described: list[dict[str, Any]] = [
        {
            "params": parameters,
            "lr": head_lr if is_head else settings.lr,
            "weight_decay": 0.0 if is_plain else settings.weight_decay,
        }
        for (is_head, is_plain), parameters in sorted(groups.items())
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(described, momentum=0.9, foreach=foreach)
    if settings.optimizer == "adafactor":
        return torch.optim.Adafactor(described, foreach=foreach)
    if foreach:
        return torch.optim.AdamW(described, foreach=True)
    # On the CPU torch's default goes over every tensor a dozen times; the fused kernel goes once.
    # On CUDA the default, foreach, stays: its temporaries are part of what people's runs need.
    on_cpu = all(p.device.type == "cpu" for group in described for p in group["params"])
    return torch.optim.AdamW(described, fused=True if on_cpu else None)


def _undecayed(model: nn.Module) -> Iterable[nn.Parameter]:
    for name, module in model.named_modules():
        is_norm = "norm" in type(module).__name__.lower() or "norm" in name.rpartition(".")[2]
        for key, parameter in module.named_parameters(recurse=False):
            if is_norm or key == "bias":
                yield parameter


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


def apply_change(optimizer: Optimizer, change: Change) -> None:
    """Apply what a method announced to parameters and optimizer: the freeze primitive.

    Freezing a tensor drops its gradient before the optimizer can use it once more, its optimizer
    state, and its place in the group: with AdamW, a tensor whose gradient is merely zeroed goes on
    moving by momentum and decay. A resized tensor takes the old one's place in its group, with the
    optimizer's state of what is left of it.
    """
    for parameter in change.frozen:
        parameter.requires_grad_(False)
        _leave(optimizer, parameter)
    for resized in change.resized:
        _replace(optimizer, resized)
    for parameter in change.added:
        parameter.requires_grad_(True)
        optimizer.param_groups[0]["params"].append(parameter)


def _replace(optimizer: Optimizer, resized: Resized) -> None:
    old, new, dim, kept = resized
    known = optimizer.state.get(old, {})
    group = _leave(optimizer, old)
    if not new.requires_grad:
        return
    (group or optimizer.param_groups[0])["params"].append(new)
    if dim is not None and kept is not None and known:
        optimizer.state[new] = {
            key: value.index_select(dim, kept) if _is_like(value, old) else value
            for key, value in known.items()
        }


def _is_like(value: Any, parameter: nn.Parameter) -> bool:
    return isinstance(value, torch.Tensor) and value.shape == parameter.shape


def _leave(optimizer: Optimizer, parameter: nn.Parameter) -> dict[str, Any] | None:
    parameter.grad = None
    optimizer.state.pop(parameter, None)
    found = None
    for group in optimizer.param_groups:
        kept = [p for p in group["params"] if p is not parameter]
        if len(kept) < len(group["params"]):
            found = group
        group["params"] = kept
    return found
