"""CUDA's autocast policy on the CPU, whose own casts fewer operators to fp32.

Fake tensors stand in on the CPU, so autocast runs there. The lists that make an operator 16-bit
are the same for all that transformers use. For the operators below CUDA adds a cast to fp32 that
the CPU has not, and each cast is a tensor that backward may keep.
Source: aten/src/ATen/autocast_mode.h, AT_FORALL_FP32 and its variants, torch 2.13.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from harness.simulation.attention import HALF

# Inputs are cast up.
FP32 = (
    "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p",
    "reciprocal", "rsqrt", "sinh", "tan", "pow", "softplus", "layer_norm", "native_layer_norm",
    "group_norm", "cosine_similarity", "poisson_nll_loss", "hinge_embedding_loss", "kl_div",
    "l1_loss", "soft_margin_loss", "dist", "renorm", "logsumexp", "frobenius_norm",
)  # fmt: skip
# The result is asked for in fp32, unless the caller names a type: no cast-up copy is made.
FP32_RESULT = ("prod", "softmax", "log_softmax", "cumprod", "cumsum", "sum")
_KEY = torch._C.DispatchKey.AutocastCPU


@contextmanager
def cuda_autocast_policy() -> Iterator[None]:
    """Give the CPU's autocast CUDA's policy, for this process, while the context is open."""
    library: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    for names, wrap in ((FP32, _cast_up), (FP32_RESULT, _ask_fp32)):
        for operator in (overload for name in names for overload in _overloads(name)):
            library.impl(operator, wrap(operator), "AutocastCPU")
    try:
        yield
    finally:
        library._destroy()


def _overloads(name: str) -> Iterator[Any]:
    """Yield the overloads that take a tensor, write no `out` and have no policy on the CPU."""
    packet = getattr(torch.ops.aten, name)
    for overload in packet.overloads():
        operator = getattr(packet, overload)
        arguments = operator._schema.arguments
        if overload.endswith("out") or str(arguments[0].type) != "Tensor":
            continue
        if not torch._C._dispatch_has_kernel_for_dispatch_key(operator.name(), "AutocastCPU"):
            yield operator


def _cast_up(operator: Any) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(_KEY)):
            args = tuple(_up(value) for value in args)
            return operator(*args, **{name: _up(value) for name, value in kwargs.items()})

    return call


def _ask_fp32(operator: Any) -> Callable[..., Any]:
    """Set the operator's `dtype`, if it has one, the input is 16-bit and nobody has set it."""
    names = [argument.name for argument in operator._schema.arguments]

    def call(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(_KEY)):
            given = dict(zip(names, args, strict=False)) | kwargs
            if "dtype" in names and given.get("dtype") is None and args[0].dtype in HALF:
                if operator in _FUSED and args[0].dtype is torch.float16:
                    return _FUSED[operator](args[0], args[1], True)
                kwargs = {**kwargs, "dtype": torch.float32}
                args = args[: names.index("dtype")]
            return operator(*args, **kwargs)

    return call


# CUDA's softmax reads fp16 and writes fp32 in one kernel; of bf16, as on the CPU, it makes a copy
# first (aten/src/ATen/native/SoftMax.cpp).
_FUSED = {
    torch.ops.aten.softmax.int: torch.ops.aten._softmax.default,
    torch.ops.aten.log_softmax.int: torch.ops.aten._log_softmax.default,
}


def _up(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.dtype in HALF else value
    if isinstance(value, list | tuple) and not inspect.isclass(value):
        return type(value)(_up(item) for item in value)
    return value
