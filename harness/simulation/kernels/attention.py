"""What the fused attention kernels take for themselves.

Flash attention, backward (flash_attn/flash_api.cpp, mha_bwd): fp32 sums of dq, (B, L to 128, H, D
to 32), fp32 sums of rows, and with grouped queries dk and dv of every query head. torch's wrapper
copies the result and its gradient where they do not lie as (B, L, H, D)
(attention_backward.cu, _flash_attention_backward).

Memory-efficient attention (mem_eff_attention/kernel_backward.h, GradQTempStorage and
workspace_size; attention_backward.cu, _efficient_attention_backward): sums of rows, and per tile of
queries 16 B of locks and an fp32 tile of dq; where dk and dv do not stay in registers, a tile of
each per split of the keys. Of fp32 the sums of rows are made before, of a whole product. Which
tiles a card has is kernels/generate_kernels.py's: 128 rows above a head dim of 64 where a block may
have more than 100 KiB of shared memory.
"""

from __future__ import annotations

import math

from torch import Tensor

from harness.simulation.kernels.sizes import size_of, up
from harness.simulation.target import Target

FP32 = 4
# Capabilities whose blocks of threads have the shared memory that tiles of 128 need.
LARGE_TILES = frozenset({(7, 0), (8, 0), (9, 0), (10, 0)})
FORWARD_KEYS = 128  # of a tile of the forward kernel; up to here the result stays in registers


def flash_backward(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> int:
    """Return the bytes; all tensors are (B, H, L, D)."""
    batch, heads, length, dim = query.shape
    rounded = up(dim, 32) if dim <= 192 else 256
    sums = FP32 * batch * heads * up(length, 128) * (rounded + 1)
    copies = sum(size_of(t) for t in (gradient, out) if not t.transpose(1, 2).is_contiguous())
    grouped = 2 * batch * heads * key.shape[2] * dim * query.element_size()
    return sums + copies + (grouped if key.shape[1] != heads else 0)


def efficient_backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, dropout: float, target: Target
) -> int:
    """Return the bytes; all tensors are (B, H, L, D)."""
    batch, heads, length, dim = query.shape
    half = query.element_size() == 2
    widest = max(dim, value.shape[-1])
    rows, keys = _tiles(widest, half, bool(dropout), target)
    in_registers = half and widest <= rows
    tile = 16 + FP32 * rows * keys
    workspace = math.ceil(length / rows) * math.ceil(dim / keys) * tile
    if half and not in_registers:
        splits = math.ceil(key.shape[2] / keys)
        if batch * heads >= 256 and key.shape[2] <= 2 * keys:
            splits = 1
        splits = max(1, min(splits, 200 // (batch * heads)))
        wide = up(dim, rows) + up(value.shape[-1], rows)
        workspace += FP32 * splits * keys * wide
    sums = FP32 * batch * heads * length
    kernel = sums + batch * heads * workspace
    if half and (in_registers or target.capability != (7, 0)):
        return kernel
    copies = 3 if half else 1  # grad * out; of 16 bits also both of them in fp32
    product = FP32 * batch * heads * length * value.shape[-1]
    return max(kernel, copies * product + 2 * sums)


def efficient_forward(query: Tensor, value: Tensor) -> int:
    """Return the bytes: the result in fp32 where it is too wide for registers."""
    batch, heads, length, dim = query.shape
    wide = max(dim, value.shape[-1]) > FORWARD_KEYS
    if query.element_size() != 2 or not wide:
        return 0
    return int(FP32 * batch * heads * length * value.shape[-1])


def _tiles(dim: int, half: bool, drops: bool, target: Target) -> tuple[int, int]:
    """Return rows and columns of the backward kernel's tiles: the largest that fit, as sorted."""
    if dim <= 64:
        return 64, 64
    if half and 64 < dim <= 96 and not drops and target.capability in ((8, 6), (8, 9)):
        return 128, 64
    if target.capability not in LARGE_TILES or (target.capability == (7, 0) and not half):
        return 64, 64
    preloads = half and target.capability >= (8, 0) and dim <= 128
    return 128, 128 if preloads else 64
