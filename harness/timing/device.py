"""What the device works on each operator: a roofline, with the L2 cache as a list of storages."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy
import torch
from numpy.typing import NDArray

from harness.timing.clock import Clock
from harness.timing.kernels import COLUMN, ENTRIES, LIST_RATE, PER_LAUNCH
from harness.timing.rows import Kind, Rows

Seconds = NDArray[numpy.float64]

FLOOR = 2.5e-6  # seconds of the smallest kernel, with the gap to the next one
HIT = 3.0  # bandwidth of L2 over that of the memory
WRITTEN = 0.5  # share of what is written into L2 that reaches the memory: the rest is written over
KEPT = 0.75  # share of L2 that holds what was used last
FP64 = 64  # how many times slower than fp32 on cards that are not for computing centres
# Shares of the peaks that products reach: of tensor cores, and of fp32 without them. Fitted on an
# L40S (8.9) and on an H100's fp32; 8.6 and 12.0, whose fp32 units are built alike, are taken to be
# as 8.9 in fp32, and other tensor cores are assumed.
TENSOR, TENSOR_ELSE = {(8, 9): 0.6}, 0.75
FP32, FP32_ELSE = {(8, 6): 0.35, (8, 9): 0.35, (12, 0): 0.35}, 0.7
# Cards that sum in fp32 at half speed keep their tensor cores fed with ease (assumed).
HALF_RATE, OF_HALF_RATE = 2.5, 0.85
BATCHED = 132  # matrices that a factorisation works on at once


class Traced:
    """What the device's time needs of rows, as arrays of one number per row.

    Attributes:
        modules: the number of the row before which each module is called.
        kernel: it launches one.
        waits: the host waits for it.
    """

    def __init__(self, rows: Rows, modules: Sequence[int] = ()) -> None:
        self.rows, self.modules = rows, modules
        self.kernel = numpy.array(self._each(lambda kind: not kind.view), bool)
        self.waits = numpy.array(self._each(lambda kind: kind.waits), bool)
        self._caches: dict[float, tuple[Seconds, Seconds]] = {}

    def _each(self, read: Callable[[Kind], float]) -> Seconds:
        """Return what is read from each row's kind."""
        of_kinds = numpy.array([read(kind) for kind in self.rows.kinds], float)
        found: Seconds = of_kinds[numpy.array(self.rows.numbers, int)]
        return found

    @cached_property
    def flops(self) -> dict[torch.dtype | None, Seconds]:
        """FLOPs by the type that they are in."""
        flops = numpy.array(self.rows.flops)
        there = {self.rows.kinds[self.rows.numbers[i]].dtype for i in numpy.nonzero(flops)[0]}
        return {
            dtype: flops * self._each(lambda kind, dtype=dtype: kind.dtype == dtype)  # type: ignore[misc]
            for dtype in there
        }

    @cached_property
    def launches(self) -> Seconds:
        """Kernels of each row."""
        found = self._each(_launches)
        for i in numpy.nonzero(self._each(lambda kind: kind.cost.lists))[0]:
            row = self.rows[int(i)]
            written = sum(size for _, size in row.writes)
            width = row.dtype.itemsize if row.dtype else 4
            found[i] = max(1.0, row.pieces / PER_LAUNCH, written / width / ENTRIES)
        return found

    @cached_property
    def passes(self) -> Seconds:
        """How often each row's kernels go over its bytes, at the bandwidth of others."""
        return self._each(_passes)

    @cached_property
    def chains(self) -> Seconds:
        """Seconds of steps that wait for one another, on any card."""
        return self._each(_chain)

    def moved(self, capacity: float) -> tuple[Seconds, Seconds]:
        """Return bytes of the memory and bytes of a cache of this capacity, row by row."""
        if capacity not in self._caches:
            self._caches[capacity] = _cached(self.rows, capacity)
        return self._caches[capacity]


def device_seconds(traced: Traced, clock: Clock, tf32: bool = False) -> Seconds:
    """Return the device's seconds of every row, 0 for those that launch nothing.

    Args:
        traced: the rows.
        clock: the device.
        tf32: products in fp32 may round their inputs to tf32.
    """
    if clock.processor is not None:
        return numpy.array(clock.processor.kernels(traced.rows), float)
    assert clock.sheet is not None, "a card is timed by its datasheet, a CPU by what it did"
    memory, cache = traced.moved(KEPT * clock.sheet.l2)
    bandwidth = clock.machine.bandwidth * clock.sheet.bandwidth
    moving = traced.passes * (memory + cache / HIT) / bandwidth
    computing = sum(
        (flops / _rate(kind, clock, tf32) for kind, flops in traced.flops.items()),
        numpy.zeros(len(traced.rows)),
    )
    own = FLOOR * traced.launches + traced.chains
    return numpy.where(traced.kernel, numpy.maximum(moving, computing) + own, 0.0)


def _rate(kind: torch.dtype | None, clock: Clock, tf32: bool) -> float:
    """Return FLOP/s that products of a type reach."""
    sheet, machine = clock.sheet, clock.machine
    assert sheet is not None
    peak = {
        torch.bfloat16: sheet.bf16,
        torch.float16: sheet.fp16,
        torch.int8: 2 * sheet.fp16,
        torch.float32: sheet.tf32 if tf32 else 0.0,
    }.get(kind or torch.float32, 0.0)
    if peak:
        return (machine.products or _share_of_tensor_cores(clock)) * peak
    share = machine.products_fp32 or FP32.get(clock.capability, FP32_ELSE)
    return share * sheet.fp32 / (FP64 if kind is torch.float64 else 1)


def _share_of_tensor_cores(clock: Clock) -> float:
    sheet = clock.sheet
    assert sheet is not None
    if clock.capability >= (8, 6) and sheet.bf16 < HALF_RATE * sheet.fp32:
        return OF_HALF_RATE
    return TENSOR.get(clock.capability, TENSOR_ELSE)


def _launches(kind: Kind) -> float:
    if kind.view:
        return 0.0
    return kind.cost.each * kind.pieces if kind.cost.each else kind.cost.launches


def _passes(kind: Kind) -> float:
    if kind.cost.lists:
        return 1 / LIST_RATE
    return max(1.0, kind.pieces) if kind.cost.dims else kind.cost.passes


def _chain(kind: Kind) -> float:
    if not kind.cost.columns or len(kind.shape) < 2:
        return 0.0
    batch = math.prod(kind.shape[:-2])
    return kind.cost.columns * min(kind.shape[-2:]) * COLUMN * max(1.0, batch / BATCHED)


def _cached(rows: Rows, capacity: float) -> tuple[Seconds, Seconds]:
    """Return the bytes of every row that the memory moves, and those that the cache gives.

    Storages are kept in the order of their last use; one of more than three quarters of the
    capacity drives all others out and is not kept.
    """
    kept: OrderedDict[int, float] = OrderedDict()
    used, largest, position = 0.0, KEPT * capacity, 0
    moved, hit = numpy.zeros(len(rows)), numpy.zeros(len(rows))
    storages, sizes = rows.storages, rows.sizes
    for row, (middle, end) in enumerate(zip(rows.reads, rows.writes, strict=True)):
        slow = fast = 0.0
        for i in range(position, end):
            storage, size = storages[i], sizes[i]
            before = kept.pop(storage, 0.0)
            used -= before
            if i < middle:
                found = size if size < before else before
            else:
                found = 0.0 if size > largest else size * (1 - WRITTEN)
            fast += found
            slow += size - found
            if size < before:
                size = before
            if size > largest:
                kept.clear()
                used = 0.0
                continue
            kept[storage] = size
            used += size
            while used > capacity:
                used -= kept.popitem(last=False)[1]
        if end > position:
            moved[row], hit[row], position = slow, fast, end
    return moved, hit
