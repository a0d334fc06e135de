"""Precision modes: which dtype weights, compute, adapter and head have."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

# The base in 16 bits, adapters and head in fp32, no autocast and no scaler of the loss.
HALF_WEIGHTS = {"bf16-weights": torch.bfloat16, "fp16-weights": torch.float16}


def weight_dtype(precision: str) -> torch.dtype:
    """Return the dtype in which the base model is loaded."""
    return HALF_WEIGHTS.get(precision, torch.float32)


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context of a forward pass: autocast for bf16 and fp16, else nothing."""
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    if precision not in kinds:
        return nullcontext()
    return torch.autocast(device.type, dtype=kinds[precision])


def grad_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Return the loss scaler, enabled for fp16 only."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def set_matmul_mode(precision: str) -> None:
    """Allow TensorFloat-32 in fp32 products for `tf32`, and forbid it in every other mode."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


def keep_head_fp32(model: nn.Module, head: Iterable[nn.Parameter]) -> None:
    """Hold the head's modules in fp32 over a half-precision base.

    A head of a few thousand weights trained in bf16 loses updates below 2^-8 of a weight. Its
    modules cast their input up, since nothing else does without autocast.
    """
    head_ids = {id(parameter) for parameter in head}

    def cast_up(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(a.float() if isinstance(a, torch.Tensor) else a for a in args)

    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if any(id(parameter) in head_ids and parameter.dtype != torch.float32 for parameter in own):
            for parameter in own:
                parameter.data = parameter.data.float()
            module.register_forward_pre_hook(cast_up)
