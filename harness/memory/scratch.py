"""Memory that CUDA kernels take for themselves: no operator returns it, so no mode can see it.

| what                        | bytes                                            | source            |
|-----------------------------|--------------------------------------------------|-------------------|
| cuBLAS workspace            | 8,519,680 per thread that multiplies (forward,   | CUDABlas          |
|                             | backward); 32 MiB each on Hopper and later       | Workspaces        |
| flash attention, backward   | fp32 dq, (B, H, L to 128, D to 32), and fp32     | mha_bwd           |
|                             | row sums; dk, dv per query head if grouped       |                   |
| efficient attention, backw. | fp32 row sums; fp32 dq for 16-bit types          | attention_backward|
| embedding, backward         | two sorted copies of the ids, from 3,072 ids on  | Embedding.cu      |
| softmax, layer norm, ...    | nothing                                          |                   |

cuDNN's convolutions choose workspaces by trial; they are not counted.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from harness.memory.target import Target

_ATEN = torch.ops.aten
_FLASH = _ATEN._scaled_dot_product_flash_attention_backward.default
_EFFICIENT = _ATEN._scaled_dot_product_efficient_attention_backward.default
_EMBEDDING = _ATEN.embedding_dense_backward.default
KNOWN = frozenset({_FLASH, _EFFICIENT, _EMBEDDING})
SORTED_FROM = 3072  # ids; below, one kernel adds without sorting


def workspace_bytes(target: Target) -> int:
    """Return what cuBLAS holds per thread from its first matrix product on."""
    if target.kind == "cpu":
        return 0
    return 32 * 2**20 if target.capability >= (9, 0) else 8_519_680


def scratch_bytes(func: Any, args: tuple[Any, ...]) -> int:
    """Return the bytes that one call of a kernel in KNOWN takes and gives back."""
    if func is _EMBEDDING:
        count: int = args[1].numel()
        return 2 * 8 * count if count > SORTED_FROM else 0
    _, query, key = args[:3]
    batch, heads, length, dim = query.shape
    if func is _EFFICIENT:
        rows = 4 * batch * heads * length
        return rows + (rows * dim if query.element_size() == 2 else 0)
    rows = batch * heads * _up(length, 128)
    grouped = 2 * batch * heads * key.shape[2] * dim * query.element_size()
    return 4 * rows * (_up(dim, 32) + 1) + (grouped if key.shape[1] != heads else 0)


def _up(value: int, multiple: int) -> int:
    return math.ceil(value / multiple) * multiple
