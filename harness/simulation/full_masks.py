"""Tensors without values that are known to be all true, or all false.

They are the masks that a model makes for itself, and what it asks of numbers that overflow in 16
bits: nothing is infinite here.
"""

from __future__ import annotations

import math
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
_COUNTS = frozenset({_ATEN.sum.default, _ATEN.eq.Scalar})  # of tensors of zeros they say otherwise
_OVERFLOWS = frozenset({_ATEN.isinf.default, _ATEN.isnan.default})


class FullMasks:
    """Follows such tensors through what is done with masks.

    `tensor in masks` tells whether it is known to be all true; `value_of` says which it is.
    Whatever changes such a tensor in place is not looked for: models do not do that to masks.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Tensor], bool]] = {}

    def see(self, func: Any, args: tuple[Any, ...], out: Any) -> None:
        """Look at an operator that ran."""
        known = self._outcome(func, args)
        if known is not None:
            self._known[id(out)] = (weakref.ref(out), known)

    def _outcome(self, func: Any, args: tuple[Any, ...]) -> bool | None:
        if func in _MAKES or (func in _FILLS and args[_FILLS[func]] in (1, True)):
            return True
        if func in _OVERFLOWS or (func is _ATEN.eq.Scalar and args[1] == math.inf):
            return False
        # `isfinite` is x == x and |x| != inf.
        if func is _ATEN.ne.Scalar and args[1] == math.inf:
            return True
        if func is _ATEN.eq.Tensor and args[0] is args[1] and args[0].is_floating_point():
            return True
        if not self._known:
            return None
        if func in _PASSES_ON:
            known = self.value_of(args[0])
            return None if func in _COUNTS and known is False else known
        both = func is _ATEN.mul.Tensor and args[0] in self and args[1] in self
        return True if both else None

    def value_of(self, tensor: Any) -> bool | None:
        """Return what all elements are, if it is known."""
        ref, value = self._known.get(id(tensor), (None, None))
        return value if ref is not None and ref() is tensor else None

    def __contains__(self, tensor: Any) -> bool:
        return self.value_of(tensor) is True
