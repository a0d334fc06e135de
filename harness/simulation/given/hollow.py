"""Tensors that lose their values where they are, so that whoever holds them holds them still."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import swap_tensors

from harness.errors import UserError

PLAIN = (Tensor, nn.Parameter, nn.Buffer)


def hollow_out(tensors: Iterable[Tensor], mode: Any = None) -> None:
    """Turn tensors into ones without values as a copy to a card would.

    Args:
        tensors: real ones, or of `meta`. Each becomes a tensor of its own: what shares memory with
            another does not on a card, either, unless it is the same tensor.
        mode: FakeTensorMode, for fake ones of the CPU; None: they become tensors of `meta`.

    Raises:
        UserError: one of them cannot be.
    """
    for tensor in tensors:
        if not (tensor.is_meta and mode is None):
            swap_tensors(tensor, hollow_like(tensor, mode))  # type: ignore[no-untyped-call]


def hollow_like(tensor: Tensor, mode: Any = None) -> Tensor:
    """Return a tensor without values, laid out as a copy to another device is.

    Args:
        tensor: a real one, or of `meta`.
        mode: as `hollow_out` has it.

    Raises:
        UserError: it cannot be.
    """
    if type(tensor) not in PLAIN or tensor.layout is not torch.strided:
        kind = f"{type(tensor).__module__}.{type(tensor).__qualname__}"
        what = kind if type(tensor) not in PLAIN else f"a tensor of layout {tensor.layout}"
        raise UserError(f"{what} cannot be simulated: dense tensors without subclasses can")
    if tensor.grad_fn is not None:
        raise UserError(
            f"a tensor of shape {tuple(tensor.shape)} has a graph behind it, made before the "
            "step; make it inside of the step, or detach it"
        )
    strides: tuple[int, ...] = tensor.stride()
    if not torch.ops.aten.is_non_overlapping_and_dense(tensor):
        strides = torch.empty(tensor.shape, device="meta").stride()
    new = torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype, device="meta")
    if mode is not None:
        from torch._subclasses.fake_tensor import FakeTensor

        new = FakeTensor(mode, new, torch.device("cpu"))
        # What the classes set on a tensor of another class. They would detach it, of which the
        # mode keeps a weak reference, and such a tensor cannot be swapped.
        new._is_param = isinstance(tensor, nn.Parameter)
    elif isinstance(tensor, nn.Parameter):
        new = nn.Parameter(new, requires_grad=False)
    new.requires_grad_(tensor.requires_grad)
    vars(new).update(vars(tensor))
    return new
