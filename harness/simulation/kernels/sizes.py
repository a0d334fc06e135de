"""Sizes that the formulas of several kernels are made of."""

from __future__ import annotations

from torch import Tensor


def size_of(tensor: Tensor) -> int:
    """Return the bytes of a contiguous copy."""
    return tensor.numel() * tensor.element_size()


def up(value: int, multiple: int) -> int:
    """Round a count up to whole tiles."""
    return -(-value // multiple) * multiple
