"""The storages of a process, from the tensors that operators return."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from harness.metering.events import Block, Event

_IS_DENSE = torch.ops.aten.is_non_overlapping_and_dense
# The schema calls it a view, but it is where a tensor made from Python data comes to light.
_LIFT = torch.ops.aten.lift_fresh.default


class _StorageRef(weakref.ref[torch.UntypedStorage]):
    """Weak reference that still knows its storage when the storage is gone."""

    __slots__ = ("block", "key", "num_bytes")
    key: int  # address of the storage
    num_bytes: int  # its size as it was last seen, not rounded
    block: Block


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
        self._live: dict[int, _StorageRef] = {}
        self._sum: tuple[Block, int] | None = None
        self._closed = False

    def live(self) -> Iterator[Block]:
        """Yield the blocks that live now."""
        for ref in self._live.values():
            yield ref.block

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
        if tensor.layout is not torch.strided:
            if tensor.layout is torch.sparse_coo:  # two dense tensors, each with its storage
                self.see(tensor._indices(), source, path, maker)
                return self.see(tensor._values(), source, path, maker)
            return None
        storage = tensor.untyped_storage()
        ref = self._live.get(storage._cdata)
        if ref is not None:
            return ref.block if ref.num_bytes == storage.nbytes() else self.see_resize(storage)
        ref = _StorageRef(storage, self._died)
        ref.key, ref.num_bytes = storage._cdata, storage.nbytes()
        op = source if isinstance(source, str) else _origin(source)
        recomputed = maker >= 0 and torch.is_grad_enabled()
        size = self._round(ref.num_bytes)
        block = Block(self.num_blocks, size, op, path, None, maker, recomputed, ref.num_bytes)
        ref.block = self._born(block)
        self._live[ref.key] = ref
        return ref.block

    def see_resize(self, storage: torch.UntypedStorage) -> Block | None:
        """Log the new size of a storage, which it may have got without an operator."""
        ref = self._live.get(storage._cdata)
        if ref is None or ref.num_bytes == storage.nbytes():
            return None
        # The new memory is there before the old one is copied and freed: both live for a moment.
        ref.num_bytes, old = storage.nbytes(), ref.block
        size = self._round(ref.num_bytes)
        ref.block = self._born(replace(old, id=self.num_blocks, size=size, asked=ref.num_bytes))
        if old.size:
            self.events.append(Event("free", old))
        return ref.block

    def expect_sum(self, old: Tensor, out: Tensor, maker: int) -> None:
        """Prepare for a sum of two gradients that the engine does in place in a plain step.

        The engine adds into the first gradient if nothing else refers to it, but never while a
        dispatch mode is on or on fake tensors. So where `old` dies as soon as it is added, a
        plain step on a real device makes no new storage, and the log must not have one either.
        A sum within one node's own formula (`maker` made `old`, too) does make one, and so does
        a sum onto a view, whose base refers to the same storage: what a linear layer returns for
        an input of three dimensions.
        """
        old_block, new_block = self.see(old, "existing"), self.see(out, "existing")
        if old_block is None or new_block is None or old_block.maker == maker or old._is_view():
            return
        if self.events[-1].block is new_block and _IS_DENSE(old):
            self._sum = (old_block, out.untyped_storage()._cdata)

    def hold(self, num_bytes: int, source: str, path: str = "") -> Block:
        """Log memory that no storage shows and that stays, such as a library's workspace."""
        size = self._round(num_bytes)
        return self._born(Block(self.num_blocks, size, source, path, "temporary", asked=num_bytes))

    def flash(self, num_bytes: int, source: str, path: str = "") -> None:
        """Log memory that no storage shows and that a kernel gives back when it is done."""
        block = self.hold(num_bytes, source, path)
        if block.size:
            self.events.append(Event("free", block))

    def forget_sum(self) -> None:
        """Note that another operator ran: the first summand has outlived the sum."""
        self._sum = None

    def _round(self, num_bytes: int) -> int:
        return -(-num_bytes // self._rounding) * self._rounding

    def _born(self, block: Block) -> Block:
        self.num_blocks += 1
        if block.size:
            self.events.append(Event("alloc", block))
        return block

    def _died(self, ref: weakref.ref[torch.UntypedStorage]) -> None:
        assert isinstance(ref, _StorageRef)
        if self._closed:
            return
        block = self._live.pop(ref.key).block
        if block.recomputed and block.category is None and not torch.is_grad_enabled():
            block.category = "activations"  # made for backward, and backward has used it
        if self._sum is not None and self._sum[0] is block:
            self._reuse(*self._sum)
        elif block.size:
            self.events.append(Event("free", block))

    def _reuse(self, old: Block, key: int) -> None:
        """Let the storage at `key`, a sum, live on in the block of its first summand."""
        ref, events = self._live[key], self.events
        del events[next(i for i in reversed(range(len(events))) if events[i].block is ref.block)]
        ref.block = old
        self._sum = None


@cache
def _origin(func: Any) -> str:
    """Name the operator, or `existing` if its output is a view of a storage it did not make."""
    views = any(result.alias_info is not None for result in func._schema.returns)
    return "existing" if views and func is not _LIFT else str(func.name())
