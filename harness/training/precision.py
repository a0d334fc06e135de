"""What the types of a run do: to weights, products, adapters and head."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from harness.dtypes import Dtypes
    from methods.base import Handle

TORCH = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def weight_dtype(dtypes: Dtypes) -> torch.dtype:
    """Return the dtype in which the base model is loaded; a quantised one before that."""
    return TORCH[dtypes.base]


def autocast(dtypes: Dtypes, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context of a forward pass: autocast, or nothing."""
    if not dtypes.autocast:
        return nullcontext()
    return torch.autocast(device.type, dtype=TORCH[dtypes.compute])


def grad_scaler(dtypes: Dtypes, device: torch.device) -> torch.amp.GradScaler:
    """Return the loss scaler, enabled for autocast to fp16 only."""
    return torch.amp.GradScaler(device.type, enabled=dtypes.scaled)


def set_matmul_mode(dtypes: Dtypes) -> None:
    """Allow TensorFloat-32 in fp32 products for `tf32`, and forbid it in every other mode."""
    torch.backends.cuda.matmul.allow_tf32 = dtypes.compute == "tf32"
    torch.backends.cudnn.allow_tf32 = dtypes.compute == "tf32"


def set_types(
    model: nn.Module, handle: Handle, head: Iterable[nn.Parameter], dtypes: Dtypes
) -> None:
    """Give what trains beside a 16-bit base its type: fp32, or the base's own.

    Raises:
        ValueError: something would train in fp16 under a scaler of the loss, which refuses that.
    """
    if dtypes.base != "fp32":
        if dtypes.adapters == "same":
            for parameter in handle.parameters():
                if parameter.requires_grad:
                    parameter.data = parameter.data.to(weight_dtype(dtypes))
        else:
            keep_head_fp32(model, head, cast_inputs=not dtypes.autocast)
    if dtypes.scaled and any(
        p.requires_grad and p.dtype == torch.float16 for p in model.parameters()
    ):
        raise ValueError(
            "weights: fp16 would train under autocast to fp16, whose scaler of the loss refuses "
            "fp16 gradients; take weights: fp32 (precision: fp16) or compute: bf16"
        )


def keep_head_fp32(
    model: nn.Module, head: Iterable[nn.Parameter], *, cast_inputs: bool = True
) -> None:
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
            if cast_inputs:
                module.register_forward_pre_hook(cast_up)
