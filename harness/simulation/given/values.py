"""Values of a batch's whole numbers, which travel beside the tensors that have none.

Masks, token ids and lengths decide what code does: whether attention needs a mask, how many rows
`hidden[mask]` has. Where a batch has values, they are kept on the host, and every operator
between known numbers alone is computed there, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_iter, tree_map
from torch.utils.weak import WeakIdKeyDictionary

from harness.simulation.answers import UnknownValue
from methods.common.fakes import is_hollow

MOST = 2**20  # numbers of a tensor that is followed
_ATEN = torch.ops.aten
_VALUE = _ATEN._local_scalar_dense.default
_INDEX = _ATEN.index.Tensor
_SELECT = _ATEN.masked_select.default
_COPY = _ATEN._to_copy.default
_FACTORIES = frozenset({
    _ATEN.arange.default, _ATEN.arange.start, _ATEN.arange.start_step, _ATEN.zeros.default,
    _ATEN.ones.default, _ATEN.full.default, _ATEN.scalar_tensor.default,
})  # fmt: skip
_WITHOUT_VALUES = (_ATEN.empty, _ATEN.empty_like, _ATEN.empty_strided, _ATEN.new_empty)
_SHAPED_BY_VALUES = torch.Tag.dynamic_output_shape
_RANDOM = torch.Tag.nondeterministic_seeded


class KnownValues(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Answer from known numbers what code asks of tensors; open it inside of `KnownAnswers`.

    Args:
        values: what code outside of libraries reads, by `file.py:function`.
        libraries: folders whose code is not the user's.

    Attributes:
        remarks: what was taken to be read from tensors of unknown values.
    """

    def __init__(self, values: Mapping[str, Any], libraries: tuple[str, ...]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.remarks: dict[str, None] = {}
        self._values, self._libraries = values, libraries
        self._known: Any = WeakIdKeyDictionary()
        self._lost: dict[int, Any] = {}  # storages whose numbers are no longer known

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def remember(self, hollow: Tensor, real: Tensor) -> None:
        """Note the numbers of a tensor that has lost them."""
        self._known[hollow] = real

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator, on known numbers as well."""
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_iter((args, kwargs)) if isinstance(leaf, Tensor)]
        reals = [self._of(tensor) for tensor in tensors]
        whole = all(real is not None for real in reals) and (tensors or func in _FACTORIES)
        if whole and self._follows(func, tensors, kwargs):
            return self._on_both(func, args, kwargs)
        if func is _VALUE:
            return self._asked(func, args, kwargs)
        if func in (_INDEX, _SELECT):
            args = tuple(self._by_places(func, args))
            if func is _SELECT and len(args) == 1:
                return args[0]
        if func._schema.is_mutable:
            self._forget(func, args, kwargs)
        return func(*args, **kwargs)

    def _of(self, tensor: Tensor) -> Tensor | None:
        """Return the numbers of a tensor; a real one has its own."""
        if not is_hollow(tensor):
            return tensor
        real: Tensor | None = self._known.get(tensor)
        if real is None or real.untyped_storage()._cdata in self._lost:
            return None
        return real

    def _follows(self, func: Any, tensors: list[Tensor], kwargs: Mapping[str, Any]) -> bool:
        """Tell whether an operator on known numbers is computed beside: it is small and certain."""
        if func.namespace != "aten" or _RANDOM in func.tags:
            return False
        if func.overloadpacket in _WITHOUT_VALUES:
            return False
        if not tensors:
            return True
        return any(map(is_hollow, tensors)) or kwargs.get("device", None) is not None

    def _on_both(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func is _VALUE:
            with _disable_current_modes():
                return self._of(args[0]).item()  # type: ignore[union-attr]
        by_values = _SHAPED_BY_VALUES in func.tags or (func is _INDEX and _has_mask(args[1]))
        out = None if by_values else func(*args, **kwargs)
        if any(isinstance(each, Tensor) and each.numel() > MOST for each in tree_iter(out)):
            self._forget(func, args, kwargs)
            return out
        on_host = tree_map(self._real, (args, kwargs))
        if "device" in kwargs:
            on_host[1]["device"] = torch.device("cpu")
        with _disable_current_modes():
            real = func(*on_host[0], **on_host[1])
        if by_values:
            like = next(leaf for leaf in tree_iter(args) if isinstance(leaf, Tensor)
                        and is_hollow(leaf))  # fmt: skip
            out = tree_map(lambda r: like.new_empty(r.shape, dtype=r.dtype), real)
        for hollow, numbers in zip(tree_iter(out), tree_iter(real), strict=True):
            if isinstance(hollow, Tensor) and is_hollow(hollow):
                self._known[hollow] = numbers
        return out

    def _real(self, value: Any) -> Any:
        return self._of(value) if isinstance(value, Tensor) else value

    def _by_places(self, func: Any, args: tuple[Any, ...]) -> Iterator[Any]:
        """Yield arguments with places in place of masks whose values are known."""
        if func is _SELECT:
            mask = self._of(args[1])
            if mask is None:
                yield from args
                return
            shape = torch.broadcast_shapes(args[0].shape, mask.shape)  # type: ignore[no-untyped-call]
            yield args[0].new_empty((_count(mask.expand(shape)),))
            return
        yield args[0]
        places: list[Any] = []
        for index in args[1]:
            mask = self._of(index) if index is not None and index.dtype is torch.bool else None
            if mask is None:
                places.append(index)
            else:
                rows = _count(mask)
                places += [index.new_empty((rows,), dtype=torch.int64) for _ in mask.shape]
        yield places

    def _forget(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Note that an operator writes what nobody knows into tensors that were known."""
        given = dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | dict(
            kwargs
        )
        for argument in func._schema.arguments:
            if argument.alias_info is not None and argument.alias_info.is_write:
                for leaf in tree_iter(given.get(argument.name)):
                    real = self._known.get(leaf) if isinstance(leaf, Tensor) else None
                    if real is not None:
                        storage = real.untyped_storage()
                        self._lost[storage._cdata] = storage

    def _asked(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return a number that code reads and no tensor has."""
        try:
            return func(*args, **kwargs)
        except UnknownValue as error:
            if error.place is None:
                raise
            file, line, function = error.place
            for place, value in self._values.items():
                end, _, name = place.rpartition(":")
                if name == function and file.endswith(end):
                    return value
            if not args[0].is_floating_point() or file.startswith(self._libraries):
                raise
            self.remarks[f"1.0 is taken for the number that {file}:{line} reads in {function}"] = (
                None
            )
            return 1.0


def _count(mask: Tensor) -> int:
    with _disable_current_modes():
        return int(mask.sum())


def _has_mask(indices: Any) -> bool:
    return any(index is not None and index.dtype is torch.bool for index in indices)
