"""Memory that CUDA kernels take for themselves: no operator returns it, so no mode can see it.

| what                 | bytes                                          | torch's source       |
|----------------------|------------------------------------------------|----------------------|
| cuBLAS workspace     | 8,519,680 per thread that multiplies (forward, | CUDABlas workspaces  |
|                      | backward); 32 MiB each from Hopper on          |                      |
| cuBLASLt workspace   | 1 MiB per thread that multiplies and adds      | CUDABlas workspaces  |
| softmax, backward    | grad * output, as large as the scores          | SoftMax.cu           |
| sum over rows        | partial sums of the blocks of threads          | reductions.py        |
| flash attention,     | fp32 dq, (B, H, L to 128, D to 32), fp32 row   | mha_bwd              |
| backward             | sums; dk and dv per query head if grouped      |                      |
| efficient attention, | fp32 row sums; fp32 dq for 16-bit types        | attention_backward   |
| backward             |                                                |                      |
| embedding, backward  | two sorted copies of the ids above 3,072 ids   | Embedding.cu         |

cuDNN's convolutions choose workspaces by trial; they are not counted. Workspaces and sums are as
seen on an H100 with torch 2.11.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from harness.simulation.reductions import sum_scratch
from harness.simulation.target import Target
from harness.units import MIB

_ATEN = torch.ops.aten
_FLASH = _ATEN._scaled_dot_product_flash_attention_backward.default
_EFFICIENT = _ATEN._scaled_dot_product_efficient_attention_backward.default
_EMBEDDING = _ATEN.embedding_dense_backward.default
_SUM = _ATEN.sum.dim_IntList
_SOFTMAX = _ATEN._softmax_backward_data.default
KNOWN = frozenset({_FLASH, _EFFICIENT, _EMBEDDING, _SUM, _SOFTMAX})
ADDMM = _ATEN.addmm.default  # the product that cuBLASLt makes, with its bias
LT_WORKSPACE = MIB
SORTED_FROM = 3072  # ids; below, one kernel adds without sorting


def workspace_bytes(target: Target) -> int:
    """Return what cuBLAS holds per thread from its first matrix product on."""
    if target.kind == "cpu":
        return 0
    return 32 * MIB if target.capability >= (9, 0) else 8_519_680


def scratch_bytes(func: Any, args: tuple[Any, ...], target: Target) -> int:
    """Return the bytes that one call of a kernel in KNOWN takes and gives back."""
    if func is _SUM:
        return sum_scratch(args[0], args[1], target)
    if func is _SOFTMAX:
        return int(args[1].numel() * args[1].element_size())
    if func is _EMBEDDING:
        count: int = args[1].numel()
        return 2 * 8 * count if count > SORTED_FROM else 0
    _, query, key = args[:3]
    batch, heads, length, dim = query.shape
    if func is _EFFICIENT:
        sums: int = 4 * batch * heads * length
        return sums * (1 + dim) if query.element_size() == 2 else sums
    rows: int = batch * heads * _up(length, 128)
    grouped: int = 2 * batch * heads * key.shape[2] * dim * query.element_size()
    return 4 * rows * (_up(dim, 32) + 1) + (grouped if key.shape[1] != heads else 0)


def _up(value: int, multiple: int) -> int:
    return math.ceil(value / multiple) * multiple
