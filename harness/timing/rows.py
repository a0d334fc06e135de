"""Rows of a trace, one per dispatched operator, packed."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor

from harness.timing.kernels import PLAIN, Cost

Held = tuple[int, int]  # a tensor's memory, and its bytes


class Kind(NamedTuple):
    """What many rows share.

    Attributes:
        op: the operator's name, such as `aten::addmm`.
        part: of the step: forward, backward, optimizer; or evaluation, probe.
        view: it launches no kernel: a view, a tensor without values, or work of the host.
        dtype: in which it computes.
        waits: the host waits until the device is done.
        pieces: tensors of its list, or dimensions that it transforms.
        shape: of what a factorisation works on.
        cost: what else it launches.
    """

    op: str
    part: str
    view: bool
    dtype: torch.dtype | None = None
    waits: bool = False
    pieces: int = 1
    shape: tuple[int, ...] = ()
    cost: Cost = PLAIN


class Row(NamedTuple):
    """One dispatched operator; attributes as of `Kind`.

    Attributes:
        flops: of its matrix products, a multiply-add as two.
        reads, writes: (storage, bytes) of its tensors.
    """

    op: str
    part: str
    view: bool
    flops: int
    dtype: torch.dtype | None
    reads: tuple[Held, ...]
    writes: tuple[Held, ...]
    waits: bool = False
    pieces: int = 1
    shape: tuple[int, ...] = ()
    cost: Cost = PLAIN


class Rows(Sequence[Row]):
    """Rows in arrays of numbers: a row of its own for each would keep the garbage collector busy.

    Attributes:
        kinds: that there are.
        numbers: of each row's kind among them.
        flops: of each row.
        storages, sizes: of all that the rows read and write, one after another.
        reads, writes: where in these each row's reads and its writes end.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.kinds: list[Kind] = []
        self.numbers, self.flops = array("l"), array("d")
        self.storages, self.sizes = array("Q"), array("d")
        self.reads, self.writes = array("l"), array("l")
        self._known: dict[Kind, int] = {}
        for row in rows:
            kind = Kind(row.op, row.part, row.view, row.dtype, *row[-4:])
            self.append(self.number_of(kind), row.flops, row.reads, row.writes)

    def number_of(self, kind: Kind) -> int:
        """Return a kind's number, which it gets here where it is new."""
        found = self._known.setdefault(kind, len(self.kinds))
        if found == len(self.kinds):
            self.kinds.append(kind)
        return found

    def append(
        self, number: int, flops: int = 0, reads: Iterable[Held] = (), writes: Iterable[Held] = ()
    ) -> None:
        """Add a row of a kind."""
        storages, sizes = self.storages, self.sizes
        for storage, size in reads:
            storages.append(storage)
            sizes.append(size)
        self.reads.append(len(sizes))
        for storage, size in writes:
            storages.append(storage)
            sizes.append(size)
        self.writes.append(len(sizes))
        self.numbers.append(number)
        self.flops.append(flops)

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        kind, middle, end = self.kinds[self.numbers[index]], self.reads[index], self.writes[index]
        start = self.writes[index - 1] if index else 0
        held = [(self.storages[i], int(self.sizes[i])) for i in range(start, end)]
        return Row(
            kind.op, kind.part, kind.view, int(self.flops[index]), kind.dtype,
            tuple(held[: middle - start]), tuple(held[middle - start :]),
            kind.waits, kind.pieces, kind.shape, kind.cost,
        )  # fmt: skip


def storage_of(tensor: Tensor) -> int:
    """Name the memory that a tensor is in."""
    if tensor.layout is not torch.strided:
        return id(tensor)
    return int(tensor.untyped_storage()._cdata)


def held(tensor: Tensor) -> Held:
    """Return a tensor's memory and its bytes: expanded dimensions are there once."""
    if tensor.is_contiguous():
        return tensor.untyped_storage()._cdata, tensor.nbytes
    if tensor.layout is not torch.strided:
        entries = tensor._nnz() if tensor.layout is torch.sparse_coo else tensor.numel()
        return id(tensor), entries * (tensor.element_size() + 16)
    count = tensor.nbytes
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        if stride == 0 and size > 1:
            count //= size
    return tensor.untyped_storage()._cdata, count


def tensors_in(values: Iterable[Any]) -> list[Tensor]:
    """Return the tensors among arguments or results, and in their lists."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += tensors_in(value)
    return found
