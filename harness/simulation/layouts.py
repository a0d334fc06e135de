"""Outputs that a device's kernel lays out without gaps and a stand-in's formula does not.

Where a gradient comes in transposed, torch's formula for fake tensors hands the strides on, and
whoever multiplies by the outcome first makes a copy of it: one that no device makes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_GROUPED = torch.ops.aten._grouped_mm.default

# LayerNorm's kernels, of the CPU and of CUDA, read gradients as a contiguous copy inside.
CONTIGUOUS = frozenset({torch.ops.aten.native_layer_norm_backward.default})


def _grouped_mm(
    left: Tensor, right: Tensor, offsets: Tensor | None = None, bias: Any = None, dtype: Any = None
) -> Tensor:
    """Return the product of each group of rows with its own matrix, of any type.

    The formula for tensors without values refuses all but bfloat16, which the kernels do not.
    """
    groups = [] if offsets is None or left.dim() != right.dim() else [len(offsets)]
    if left.dim() == right.dim() == 3:
        groups = [len(left)]
    return left.new_empty((*groups, left.shape[-2], right.shape[-1]), dtype=dtype or left.dtype)


# Operators whose formula for tensors without values asks for more than their kernels do.
OWN = {_GROUPED: _grouped_mm}


def as_kernels_do(func: Any, out: Any) -> Any:
    """Return an operator's outputs in the layout that its kernel gives them."""
    if func not in CONTIGUOUS:
        return out
    return tuple(part if part is None else _contiguous(part) for part in out)


def _contiguous(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_contiguous() else tensor.new_empty(tensor.shape)
