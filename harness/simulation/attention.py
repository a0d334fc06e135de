"""Which kernel `scaled_dot_product_attention` takes on a device that is not here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from harness.errors import UserError
from harness.simulation.target import Target

Kernel = Literal["flash", "efficient", "math", "cudnn", "cpu"]
HALF = (torch.float16, torch.bfloat16)
# sdp_utils.cpp: the memory-efficient kernel reads its bias in rows of 16 elements.
BIAS_ALIGNMENT = 16

_original = functional.scaled_dot_product_attention


class Call(NamedTuple):
    """What decides over the kernel of one call.

    Attributes:
        query: (B, H, L, D).
        key: (B, Hkv, S, D).
        value: (B, Hkv, S, Dv).
        mask: additive or boolean, or None.
        dropout: probability.
        gqa: whether the caller said `enable_gqa`.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    dropout: float
    gqa: bool = True

    @property
    def grouped(self) -> bool:
        """Several query heads share a key."""
        return self.query.shape[1] != self.key.shape[1]

    @property
    def spread(self) -> bool:
        """One head of keys meets all queries by broadcasting, as Falcon calls it: no kernel's."""
        return self.grouped and not self.gqa

    @property
    def dims(self) -> set[int]:
        """The sizes of heads."""
        return {tensor.shape[-1] for tensor in (self.query, self.key, self.value)}

    @property
    def trains(self) -> bool:
        """Gradients go through it."""
        return any(tensor.requires_grad for tensor in (self.query, self.key, self.value))


def choose_kernel(
    target: Target,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    gqa: bool = True,
) -> Kernel:
    """Return the kernel that torch 2.11 to 2.13 picks, by the order of its own checks.

    The arguments are those of `Call`. What is switched off (`torch.nn.attention.sdpa_kernel`, which
    a pinned kernel comes down to) is not taken. cuDNN's kernel, which Hopper may prefer where all
    are on, is then counted as flash: it keeps the same tensors.

    Raises:
        UserError: none of those that are switched on can run, as on the device itself.
    """
    call = Call(query, key, value, mask, dropout, gqa)
    against: dict[Kernel, str | None] = {}
    if target.kind == "cpu":
        if torch._C._get_flash_sdp_enabled():
            against["cpu"] = _against_cpu(call)
        elif not torch._C._get_math_sdp_enabled():
            raise UserError("train.attention: without a GPU sdpa has the kernels flash and math")
    else:
        if torch._C._get_flash_sdp_enabled():
            against["flash"] = _against_flash(target, call)
        if torch._C._get_mem_efficient_sdp_enabled():
            against["efficient"] = _against_efficient(target, call)
    if torch._C._get_math_sdp_enabled():
        against["math"] = None
    elif target.kind == "cuda" and torch._C._get_cudnn_sdp_enabled():
        against["cudnn"] = _against_cudnn(target, call)  # the last in torch's order
    for kernel, reason in against.items():
        if reason is None:
            return kernel
    named = {"flash" if kernel == "cpu" else kernel: why for kernel, why in against.items()}
    told = "; ".join(f"{{sdpa: {name}}}: this kernel takes no {why}" for name, why in named.items())
    raise UserError(
        f"train.attention = {told}, on {target.in_words}; attention: sdpa chooses one that can"
    )


def _against_cpu(call: Call) -> str | None:
    """Say what the CPU's fused kernel does not take (sdp_utils_cpp.cpp)."""
    if call.dropout:
        return "dropout"
    if call.mask is not None and call.mask.requires_grad:
        return "mask that trains"
    if call.spread:
        return "heads that are shared without enable_gqa"
    return "heads of two sizes" if len(call.dims) > 1 else None


def _against_flash(target: Target, call: Call) -> str | None:
    """Say what flash does not take: 16-bit types from capability 8.0 on, no mask.

    aten/src/ATen/native/transformers/cuda/sdp_utils.cpp, as for the others.
    """
    dim = call.query.shape[-1]
    if call.query.dtype not in HALF:
        return str(call.query.dtype).removeprefix("torch.")
    if target.capability < (8, 0):
        return "capability below 8.0"
    if call.mask is not None:
        return "mask"
    if call.spread:
        return "heads that are shared without enable_gqa"
    if len(call.dims) > 1:
        return "heads of two sizes"
    small_cards = target.capability in ((8, 6), (8, 9), (12, 0))
    limit = (192 if call.dropout else 224) if small_cards and call.trains else 256
    return f"heads above {limit}" if dim > limit else None


def _against_efficient(target: Target, call: Call) -> str | None:
    """Say what the memory-efficient kernel does not take: its heads are multiples of 16 bytes."""
    if call.grouped:
        return "grouped queries"
    if call.query.dtype not in (torch.float32, torch.float16) and target.capability < (8, 0):
        return f"{str(call.query.dtype).removeprefix('torch.')} below capability 8.0"
    aligned = all(size * call.query.element_size() % 16 == 0 for size in call.dims)
    return None if aligned else "heads that are no multiple of 16 bytes"


def _against_cudnn(target: Target, call: Call) -> str | None:
    """Say what cuDNN's kernel does not take (9.x): heads to 128, on Hopper and Blackwell to 256."""
    if call.query.dtype not in HALF:
        return str(call.query.dtype).removeprefix("torch.")
    if target.capability < (8, 0):
        return "capability below 8.0"
    limit = 256 if target.capability[0] in (9, 10) else 128
    if any(size > limit or size % 8 for size in call.dims):
        return f"heads above {limit}, or that are no multiple of 8"
    return None


def attention_on(target: Target, taken: set[str]) -> Callable[..., Tensor]:
    """Return a function in place of `scaled_dot_product_attention`, for fake tensors on the CPU.

    It adds to `taken` the kernels that it takes.
    """

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
        kernel = choose_kernel(target, query, key, value, attn_mask, dropout_p, enable_gqa)
        taken.add(kernel)
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
    if kernel == "flash" or (kernel == "cudnn" and mask is None):
        out = aten._scaled_dot_product_flash_attention(
            query, key, value, dropout, causal, False, scale=scale
        )
    elif kernel in ("efficient", "cudnn"):
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
