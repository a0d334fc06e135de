"""Kernels of the package Liger in place of a model's layers and loss.

What Liger puts where is its own table (`harness.models.liger`). Its functions are called from here,
so that a forecast can give others of the same memory (harness/simulation/liger.py); the models' own
modules stay, with adapters on them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from harness.models.liger import SERVED, Norm, Serves
from harness.tasks.families.sequences import IGNORED
from methods import surgery

# Attention modules' names of the function that turns queries and keys.
_ROPE = "apply_rotary_pos_emb"
_turned: list[tuple[Any, Any]] = []  # modules of transformers and what was theirs


def functions() -> Any:
    """Return the package's functions, as `SimpleNamespace`.

    Raises:
        ImportError: it is not installed.
    """
    from liger_kernel import ops

    return SimpleNamespace(
        rms_norm=ops.LigerRMSNormFunction.apply,
        silu_mul=ops.LigerSiLUMulFunction.apply,
        gelu_mul=ops.LigerGELUMulFunction.apply,
        rope=ops.LigerRopeFunction.apply,
        cross_entropy=ops.LigerCrossEntropyFunction.apply,
        fused_linear_cross_entropy=ops.LigerFusedLinearCrossEntropyFunction.apply,
    )


def served(model: nn.Module) -> Serves:
    """Return what Liger has for the model.

    Raises:
        ValueError: nothing.
    """
    kind = surgery.transformer_of(model)[1].config.model_type
    if kind not in SERVED:
        raise ValueError(f"Liger has nothing for {kind}; it has for {', '.join(sorted(SERVED))}")
    return SERVED[kind]


def use_kernels(model: nn.Module, kernels: Iterable[str]) -> None:
    """Let the model's layers call Liger's kernels.

    Raises:
        ValueError: Liger has none of a kind for this model.
    """
    try:
        has, call = served(model), functions()
    except ValueError as error:
        raise ValueError(f"train.liger_kernels: {error}") from None
    for kernel in kernels:
        if kernel not in has.kernels or not _USES[kernel](model, call, has.norm):
            kind = surgery.transformer_of(model)[1].config.model_type
            raise ValueError(
                f"train.liger_kernels = {kernel}: Liger has no such kernel for {kind}; it has "
                f"{', '.join(sorted(has.kernels))}"
            )


def restore() -> None:
    """Give transformers its own functions back, where models share them."""
    while _turned:
        module, own = _turned.pop()
        setattr(module, _ROPE, own)


def _use_rms_norm(model: nn.Module, call: Any, norm: Norm) -> int:
    def forward(module: Any, hidden: Tensor) -> Tensor:
        eps = getattr(module, "variance_epsilon", None) or module.eps
        out: Tensor = call.rms_norm(
            hidden, module.weight, eps, norm.offset, norm.casting, norm.in_place, None
        )
        return out

    return _set(model, forward, _is_norm)


def _use_gated(name: str) -> Callable[[nn.Module, Any, Norm], int]:
    """Return what puts the product of an activation and a second projection into one kernel."""

    def use(model: nn.Module, call: Any, _: Norm) -> int:
        product = getattr(call, name)

        def apart(module: Any, hidden: Tensor) -> Any:
            return module.down_proj(product(module.gate_proj(hidden), module.up_proj(hidden)))

        def joined(module: Any, hidden: Tensor) -> Any:
            gate, up = module.gate_up_proj(hidden).chunk(2, dim=-1)
            return module.down_proj(product(gate, up))

        return _set(model, apart, _has("gate_proj", "up_proj", "down_proj")) + _set(
            model, joined, _has("gate_up_proj", "down_proj")
        )

    return use


def _use_rope(model: nn.Module, call: Any, _: Norm) -> int:
    def turn(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1) -> Any:
        return call.rope(q, k, cos, sin, None, unsqueeze_dim)

    modules = {type(m).__module__ for m in model.modules()}
    found = [m for m in map(sys.modules.__getitem__, sorted(modules)) if hasattr(m, _ROPE)]
    for module in found:
        _turned.append((module, getattr(module, _ROPE)))
        setattr(module, _ROPE, turn)
    return len(found)


def _use_cross_entropy(model: nn.Module, call: Any, norm: Norm) -> int:
    def loss_of(logits: Tensor, labels: Tensor, vocab_size: int, **kwargs: Any) -> Tensor:
        wanted = functional.pad(labels, (0, 1), value=IGNORED)[..., 1:].contiguous().view(-1)
        flat = logits.float().view(-1, vocab_size)
        out: Tensor = call.cross_entropy(flat, wanted, None, IGNORED)[0]
        return out

    transformer = surgery.transformer_of(model)[1]
    transformer.loss_function = loss_of
    return 1


def _set(model: nn.Module, forward: Callable[..., Any], fits: Callable[[Any], bool]) -> int:
    found = [module for module in model.modules() if fits(module)]
    for module in found:
        module.forward = partial(forward, module)
    return len(found)


def _is_norm(module: Any) -> bool:
    """Tell an RMSNorm that has a weight, which all others lack the kernel for."""
    named = type(module).__name__.endswith("RMSNorm")
    return named and isinstance(getattr(module, "weight", None), nn.Parameter)


def _has(*names: str) -> Callable[[nn.Module], bool]:
    return lambda module: all(isinstance(module._modules.get(name), nn.Module) for name in names)


_USES: dict[str, Callable[[nn.Module, Any, Norm], int]] = {
    "rms_norm": _use_rms_norm,
    "swiglu": _use_gated("silu_mul"),
    "geglu": _use_gated("gelu_mul"),
    "rope": _use_rope,
    "cross_entropy": _use_cross_entropy,
}
