"""The storages of a process, from the tensors that operators return."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from harness.memory.events import Block, Event

_IS_DENSE = torch.ops.aten.is_non_overlapping_and_dense
# The schema calls it a view, but it is where a tensor made from Python data comes to light.
_LIFT = torch.ops.aten.lift_fresh.default


class _StorageRef(weakref.ref[torch.UntypedStorage]):
    """Weak reference that knows its storage's address when the storage is gone."""

    __slots__ = ("key",)
    key: int


class Storages:
    """The live storages and the log of their births and deaths; keeps none of them alive.

    An operator's output shows that a storage was born. The finalizer of its Python object, which
    torch keeps for as long as the storage lives, shows when it dies.

    Args:
        rounding: sizes are rounded up to a multiple of it.
        device: count only tensors of this device type; None counts all.
    """

    def __init__(self, rounding: int, device: torch.device | str | None) -> None:
        self.events: list[Event] = []
        self.num_blocks = 0
        self._rounding = rounding
        self._device = torch.device(device).type if device is not None else None
        self._live: dict[int, tuple[_StorageRef, Block]] = {}
        self._sum: tuple[Block, int] | None = None
        self._closed = False

    def live(self) -> Iterator[Block]:
        """Yield the blocks that live now."""
        for _, block in self._live.values():
            yield block

    def close(self) -> None:
        """Log nothing any more."""
        self._closed = True
        self._live.clear()

    def see(self, tensor: Tensor, source: Any, path: str = "", maker: int = -1) -> Block | None:
        """Find the block of a tensor's storage; log it where it is new or was resized.

        Args:
            tensor: any tensor.
            source: the operator that returned it, or what to write in its place.
            path: module to which a new storage belongs.
            maker: number of the autograd node in which a new storage was made.

        Returns:
            The block; None for a tensor on another device.
        """
        if self._device is not None and tensor.device.type != self._device:
            return None
        storage = tensor.untyped_storage()
        key = storage._cdata
        size = self._size(storage)
        if key in self._live:
            ref, block = self._live[key]
            return block if block.size == size else self._resized(ref, block, size)
        ref = _StorageRef(storage, self._died)
        ref.key = key
        op = source if isinstance(source, str) else _origin(source)
        recomputed = maker >= 0 and torch.is_grad_enabled()
        return self._born(ref, Block(self.num_blocks, size, op, path, None, maker, recomputed))

    def see_resize(self, storage: torch.UntypedStorage) -> None:
        """Log the new size of a storage that was resized without an operator."""
        entry = self._live.get(storage._cdata)
        if entry is not None and entry[1].size != self._size(storage):
            self._resized(*entry, self._size(storage))

    def expect_sum(self, old: Tensor, out: Tensor, maker: int) -> None:
        """Prepare for a sum of two gradients that the engine does in place in a plain step.

        The engine adds into the first gradient if nothing else refers to it, but never while a
        dispatch mode is on or on fake tensors. So where `old` dies as soon as it is added, a
        plain step on a real device makes no new storage, and the log must not have one either.
        A sum within one node's own formula (`maker` made `old`, too) does make one.
        """
        old_block, new_block = self.see(old, "existing"), self.see(out, "existing")
        if old_block is None or new_block is None or old_block.maker == maker:
            return
        if self.events[-1].block is new_block and _IS_DENSE(old):
            self._sum = (old_block, out.untyped_storage()._cdata)

    def forget_sum(self) -> None:
        """Note that another operator ran: the first summand has outlived the sum."""
        self._sum = None

    def _size(self, storage: torch.UntypedStorage) -> int:
        return -(-storage.nbytes() // self._rounding) * self._rounding

    def _born(self, ref: _StorageRef, block: Block) -> Block:
        self._live[ref.key] = (ref, block)
        self.num_blocks += 1
        if block.size:
            self.events.append(Event("alloc", block))
        return block

    def _resized(self, ref: _StorageRef, old: Block, size: int) -> Block:
        # The new memory is there before the old one is copied and freed: both live for a moment.
        new = self._born(ref, replace(old, id=self.num_blocks, size=size))
        if old.size:
            self.events.append(Event("free", old))
        return new

    def _died(self, ref: weakref.ref[torch.UntypedStorage]) -> None:
        assert isinstance(ref, _StorageRef)
        if self._closed:
            return
        _, block = self._live.pop(ref.key)
        if block.recomputed and block.category is None and not torch.is_grad_enabled():
            block.category = "activations"  # made for backward, and backward has used it
        if self._sum is not None and self._sum[0] is block:
            self._reuse(*self._sum)
        elif block.size:
            self.events.append(Event("free", block))

    def _reuse(self, old: Block, key: int) -> None:
        """Let the storage at `key`, a sum, live on in the block of its first summand."""
        ref, new = self._live[key]
        index = next(i for i in reversed(range(len(self.events))) if self.events[i].block is new)
        del self.events[index]
        self._live[key] = (ref, old)
        self._sum = None


@cache
def _origin(func: Any) -> str:
    """Name the operator, or `existing` if its output is a view of a storage it did not make."""
    views = any(result.alias_info is not None for result in func._schema.returns)
    return "existing" if views and func is not _LIFT else str(func.name())
