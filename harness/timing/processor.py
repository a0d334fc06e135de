"""The CPU as a device: what its kernels and calls cost, all of it measured on the machine.

There is no queue: an operator is called and its kernel runs before the next one is called. So a
step is the sum of its calls and its kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import sqrt
from typing import TYPE_CHECKING

from harness.suite.frozen import Frozen

if TYPE_CHECKING:
    from harness.timing.rows import Row

NARROW = 16  # a side of a product up to this is short: its rate is a fraction of a wide one's
PLAIN = "aten::add"  # stands for all whose kernels only go over their bytes
PIECE = 2.0  # of one more tensor in a list, in calls: Python goes over them, too
PRODUCTS = {"aten::mm", "aten::addmm", "aten::linear"}
# Operators whose kernels do the same work as one that is measured.
ALIKE = {
    **dict.fromkeys(("aten::sigmoid", "aten::exp", "aten::log", "aten::softplus"), "aten::silu"),
    **dict.fromkeys(
        ("aten::bernoulli", "aten::native_dropout", "aten::uniform_", "aten::normal_"),
        "aten::bernoulli_",
    ),
    **dict.fromkeys(("aten::masked_fill", "aten::masked_fill_"), "aten::where"),
    **dict.fromkeys(
        ("aten::index_put", "aten::index_put_", "aten::scatter_add_", "aten::scatter_add"),
        "aten::embedding_dense_backward",
    ),
    **dict.fromkeys(("aten::index", "aten::gather", "aten::index_select"), "aten::embedding"),
    **dict.fromkeys(("aten::copy", "aten::clone", "aten::_to_copy"), "aten::copy_"),
    **dict.fromkeys(("aten::zero_", "aten::zeros_like", "aten::full"), "aten::fill_"),
    **dict.fromkeys(("aten::sin", "aten::cos", "aten::erf"), "aten::tanh"),
    "aten::any": "aten::all", "aten::_safe_softmax": "aten::_softmax", "aten::baddbmm": "aten::bmm",
}  # fmt: skip


class Curve(Frozen):
    """Seconds of an operator's kernel by how much it has to do.

    Attributes:
        op: its name; of products with the side that is short (`aten::mm k`).
        points: (bytes that it reads and writes, or FLOPs of a product; seconds beyond the smallest
            call), in ascending order; at least two.
    """

    op: str
    points: tuple[tuple[float, float], ...]

    def seconds(self, work: float) -> float:
        """Return the time of some work: on the line between two points, or through the last two."""
        points = self.points
        last = len(points) - 1
        right = next((i for i in range(1, last) if work <= points[i][0]), last)
        (x0, y0), (x1, y1) = points[right - 1], points[right]
        return max(0.0, y0 + (y1 - y0) * (work - x0) / (x1 - x0))


class Processor(Frozen):
    """Measured constants of one CPU with so many threads; seconds.

    Attributes:
        threads: of torch.
        forward, backward, optimizer: of an operator's call there, with what Python does around it.
        module: of a module's call, beside what it calls.
        per_pass, per_update: of a forward pass and of an optimizer step beside all that.
        crowding: of kernels in a step, whose tensors drive one another out of the caches and are
            new memory now and then, over the same kernels alone.
        curves: of kernels alone.
    """

    threads: int
    forward: float
    backward: float
    optimizer: float
    module: float
    per_pass: float
    per_update: float
    crowding: float
    curves: tuple[Curve, ...]

    @cached_property
    def _by_op(self) -> dict[str, Curve]:
        return {curve.op: curve for curve in self.curves}

    def knows(self, op: str) -> bool:
        """Tell whether an operator was measured here, or one that does the same work."""
        return ALIKE.get(op, op) in self._by_op

    def rate(self, op: str) -> float:
        """Return the work a second of an operator's largest kernel that was measured."""
        work, seconds = self._by_op[op].points[-1]
        return work / seconds

    def kernels(self, rows: Sequence[Row]) -> list[float]:
        """Return the seconds of every operator's kernel beyond its call."""
        return [self._kernel(row) for row in rows]

    def calls(self, rows: Sequence[Row], modules: Sequence[int]) -> list[float]:
        """Return the seconds of every operator's call, with those of modules called before it.

        A part's first operator has the part's own.
        """
        rates = {"backward": self.backward, "optimizer": self.optimizer}
        own = {"forward": self.per_pass, "beside": self.per_pass, "optimizer": self.per_update}
        found, before = [], None
        for row in rows:
            seconds = counted(row) * rates.get(row.part, self.forward)
            if row.part != before:
                seconds += own.get(row.part, 0.0)
            before = row.part
            found.append(seconds)
        for number in modules:
            found[min(number, len(found) - 1)] += self.module
        return found

    def _kernel(self, row: Row) -> float:
        if row.view:
            return 0.0
        name, work = measured_as(row)
        return self.crowding * (self._by_op.get(name) or self._by_op[PLAIN]).seconds(work)


def counted(row: Row) -> float:
    """Return how many calls an operator counts for: one, and more for a list."""
    return 1.0 + PIECE * (row.pieces - 1 if row.cost.lists or row.cost.each else 0)


def measured_as(row: Row) -> tuple[str, float]:
    """Return the name of the curve that an operator's time is read from, and its work there."""
    if row.op in PRODUCTS and row.flops:
        return f"aten::mm{_short_side(row)}", float(row.flops)
    name = ALIKE.get(row.op, row.op)
    moved = sum(size for _, size in (*row.reads, *row.writes))
    return name, float(row.flops or moved)


def _short_side(row: Row) -> str:
    """Return which side of (m, k) x (k, n) is short, as the sizes of the three matrices say."""
    width = row.dtype.itemsize if row.dtype else 4
    left, right, out = (size / width for _, size in (*row.reads[-2:], row.writes[0]))
    sides = {"m": left * out / right, "k": left * right / out, "n": right * out / left}
    name, square = min(sides.items(), key=lambda side: side[1])
    return f" {name}" if sqrt(square) <= NARROW else ""
