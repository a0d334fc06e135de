"""Which kernel `scaled_dot_product_attention` takes on a device that is not here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from harness.simulation.target import Target

Kernel = Literal["flash", "efficient", "math", "cpu"]
HALF = (torch.float16, torch.bfloat16)
# sdp_utils.cpp: the memory-efficient kernel reads its bias in rows of 16 elements.
BIAS_ALIGNMENT = 16

_original = functional.scaled_dot_product_attention


def choose_kernel(
    target: Target,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
) -> Kernel:
    """Return the kernel that torch 2.11 to 2.13 picks, by the order of its own checks.

    Args:
        target: the device that is forecast.
        query: (B, H, L, D).
        key: (B, Hkv, S, D).
        value: (B, Hkv, S, Dv).
        mask: additive or boolean, or None.
        dropout: probability.

    CUDA (aten/src/ATen/native/transformers/cuda/sdp_utils.cpp): flash needs compute capability
    8.0, a 16-bit type, one head dim of at most 256 and no mask; the efficient kernel takes fp32
    and masks, but no grouped queries; its last dim must be a multiple of 16 bytes. What neither
    takes, products of matrices do. cuDNN's kernel, which Hopper may prefer, is counted as flash:
    it keeps the same tensors. CPU (sdp_utils_cpp.cpp): the fused kernel wants no dropout and no
    mask that trains. What is switched off (`torch.nn.attention.sdpa_kernel`) is not taken.
    """
    flash_on: bool = torch._C._get_flash_sdp_enabled()
    efficient_on: bool = torch._C._get_mem_efficient_sdp_enabled()
    grouped = query.shape[1] != key.shape[1]
    dims = {query.shape[-1], key.shape[-1], value.shape[-1]}
    if target.kind == "cpu":
        learned = mask is not None and mask.requires_grad
        fused = flash_on and not (dropout or grouped or learned or len(dims) > 1)
        return "cpu" if fused else "math"
    dim = query.shape[-1]
    half = query.dtype in HALF
    large = target.capability in ((8, 6), (8, 9), (12, 0)) and dim > (192 if dropout else 224)
    modern = half and target.capability >= (8, 0)
    if flash_on and modern and mask is None and len(dims) == 1 and dim <= 256:
        trains = query.requires_grad or key.requires_grad or value.requires_grad
        if not (large and trains):
            return "flash"
    supported = query.dtype in (torch.float32, torch.float16) or target.capability >= (8, 0)
    aligned = all(size * query.element_size() % 16 == 0 for size in dims)
    fused = efficient_on and supported and aligned and not grouped
    return "efficient" if fused else "math"


def attention_on(target: Target) -> Callable[..., Tensor]:
    """Return a function in place of `scaled_dot_product_attention`, for fake tensors on the CPU."""

    def scaled_dot_product_attention(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            lower = torch.get_autocast_dtype("cpu")
            query, key, value = (t.to(lower) for t in (query, key, value))
            if attn_mask is not None and attn_mask.is_floating_point():
                attn_mask = attn_mask.to(lower)
        kernel = choose_kernel(target, query, key, value, attn_mask, dropout_p)
        if kernel == "math":
            # On fake tensors torch's own function takes no other path.
            return _original(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale,
                enable_gqa=enable_gqa,
            )  # fmt: skip
        return _run(kernel, query, key, value, attn_mask, dropout_p, is_causal, scale)

    return scaled_dot_product_attention


def _run(
    kernel: Kernel,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    causal: bool,
    scale: float | None,
) -> Tensor:
    aten = torch.ops.aten
    out: Any
    if kernel == "flash":
        out = aten._scaled_dot_product_flash_attention(
            query, key, value, dropout, causal, False, scale=scale
        )
    elif kernel == "efficient":
        # The log-sum-exp is kept for backward only.
        trains = any(t.requires_grad for t in (query, key, value))
        bias = None if mask is None else _aligned_bias(mask, query, key)
        out = aten._scaled_dot_product_efficient_attention(
            query, key, value, bias, trains, dropout, causal, scale=scale
        )
    else:
        additive = None if mask is None else _additive(mask, query.dtype)
        out = aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, dropout, causal, attn_mask=additive, scale=scale
        )
    result: Tensor = out[0]
    return result


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn a boolean mask into one that is added, as torch does for every fused kernel."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(mask.logical_not(), float("-inf"))


def _aligned_bias(mask: Tensor, query: Tensor, key: Tensor) -> Tensor:
    bias = _additive(mask, query.dtype)
    missing = -bias.shape[-1] % BIAS_ALIGNMENT
    if missing:
        bias = functional.pad(bias, (0, missing))[..., : bias.shape[-1]]
    batch, heads, length = query.shape[:3]
    return bias.expand(batch, heads, length, key.shape[2])
