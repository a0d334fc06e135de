"""Tensors without values that are known to be all ones: masks that a model makes for itself."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor

_ATEN = torch.ops.aten
_MAKES = frozenset({_ATEN.ones.default, _ATEN.ones_like.default, _ATEN.new_ones.default})
_FILLS = {_ATEN.full.default: 1, _ATEN.full_like.default: 1, _ATEN.new_full.default: 2}
# What these make of ones are ones: copies, views, pieces, whether all or any are true, and
# transformers' quick way to ask it, whether the sum is the number of elements.
_PASSES_ON = frozenset({
    _ATEN._to_copy.default, _ATEN.clone.default, _ATEN.detach.default, _ATEN.alias.default,
    _ATEN.slice.Tensor, _ATEN.select.int, _ATEN.view.default, _ATEN._unsafe_view.default,
    _ATEN.reshape.default, _ATEN.expand.default, _ATEN.unsqueeze.default, _ATEN.squeeze.dim,
    _ATEN.all.default, _ATEN.any.default, _ATEN.all.dim, _ATEN.index.Tensor,
    _ATEN.sum.default, _ATEN.eq.Scalar,
})  # fmt: skip


class FullMasks:
    """Follows tensors of ones through what is done with masks; `tensor in masks` asks.

    Whatever changes such a tensor in place is not looked for: models do not do that to masks.
    """

    def __init__(self) -> None:
        self._known: dict[int, weakref.ref[Tensor]] = {}

    def see(self, func: Any, args: tuple[Any, ...], out: Any) -> None:
        """Look at an operator that ran."""
        if func in _PASSES_ON:
            known = bool(self._known) and args[0] in self
        else:
            known = func in _MAKES or (func in _FILLS and args[_FILLS[func]] in (1, True))
        if known:
            self._known[id(out)] = weakref.ref(out)

    def __contains__(self, tensor: Tensor) -> bool:
        ref = self._known.get(id(tensor))
        return ref is not None and ref() is tensor
