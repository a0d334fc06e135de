"""Kernels of the CPU at several sizes: curves of seconds by work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harness.calibration.stopwatch import Repeated
from harness.simulation.observer import flops_of
from harness.timing.processor import Curve, measured_as
from harness.timing.rows import Row
from harness.timing.trace import Tracer

WIDTH = 64  # of a row, as in a tiny model
ENTRIES = (1 << 6, 1 << 11, 1 << 14, 1 << 17, 1 << 20)  # of tensors that are worked through
SIDES = (32, 64, 128, 320)  # of square matrices
LONG = (32, 128, 512, 2048)  # longer side of those with a short one
SHORT = 8
LENGTHS = (16, 64, 128, 256)  # of attention's rows, 8 heads of 32
COPIES = 6  # of all of them
A = torch.ops.aten

Call = Callable[[], object]


def _pointwise(entries: int) -> list[Call]:
    """Return calls on tensors of so many entries, one for each operator."""
    rows = max(1, entries // WIDTH)
    x, y = torch.randn(rows, WIDTH), torch.randn(rows, WIDTH)
    weight, bias = torch.randn(WIDTH), torch.randn(WIDTH)
    chance, mask = torch.softmax(x, -1), torch.rand(rows, WIDTH) > 0.5
    _, mean, rstd = torch.native_layer_norm(x, [WIDTH], weight, bias, 1e-5)
    table, ids = torch.randn(2000, WIDTH), torch.randint(0, 2000, (rows,))
    masks, shape, dtype = [True, True, True], [WIDTH], torch.float32
    return [
        lambda: A.add.Tensor(x, y),
        lambda: A.copy_.default(x, y),
        lambda: A.fill_.Scalar(y, 0.5),
        lambda: A.where.self(mask, x, y),
        lambda: A.gelu.default(x),
        lambda: A.gelu_backward.default(x, y),
        lambda: A.tanh.default(x),
        lambda: A.silu.default(x),
        lambda: A.silu_backward.default(x, y),
        lambda: A._softmax.default(x, -1, False),
        lambda: A._softmax_backward_data.default(x, chance, -1, dtype),
        lambda: A._log_softmax.default(x, -1, False),
        lambda: A._log_softmax_backward_data.default(x, chance, -1, dtype),
        lambda: A.native_layer_norm.default(x, shape, weight, bias, 1e-5),
        lambda: A.native_layer_norm_backward.default(x, y, shape, mean, rstd, weight, bias, masks),
        lambda: A.bernoulli_.float(y, 0.9),
        lambda: A.sum.dim_IntList(x, [0]),
        lambda: A.mean.dim(x, [-1], True),
        lambda: A.all.dim(mask, -1),
        lambda: A.eq.Scalar(x, 0),
        lambda: A.embedding.default(table, ids),
        lambda: A.embedding_dense_backward.default(x, ids, 2000, -1, False),
    ]


def _products() -> list[Call]:
    """Return matrix products: square ones, and with each of the sides short in turn."""
    sizes = [(side, side, side) for side in SIDES]
    for long in LONG:
        sizes += [(SHORT, long, 128), (long, SHORT, 128), (long, 128, SHORT)]
    found: list[Call] = []
    for m, k, n in sizes:
        left, right = torch.randn(m, k), torch.randn(n, k)
        found.append(partial(A.mm.default, left, right.t()))
    for length in LENGTHS:
        queries, keys = torch.randn(8, length, 32), torch.randn(8, 32, length)
        found.append(partial(A.bmm.default, queries, keys))
    return found


def _attention() -> list[Call]:
    """Return attention forward and backward, as the CPU's own kernel does it."""
    found: list[Call] = []
    forward = A._scaled_dot_product_flash_attention_for_cpu.default
    backward = A._scaled_dot_product_flash_attention_for_cpu_backward.default
    for length in LENGTHS:
        q = torch.randn(2, 4, length, 32)
        out, log = forward(q, q, q, 0.0, False)
        found += [
            partial(forward, q, q, q, 0.0, False),
            partial(backward, q, q, q, q, out, log, 0.0, False),
        ]
    return found


def _everything() -> list[Call]:
    pointwise = [call for entries in ENTRIES for call in _pointwise(entries)]
    return [*pointwise, *_products(), *_attention()]


class _Spy(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Has the tracer write down what one call dispatches."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tracer = Tracer()
        self.tracer.device = "cpu"
        self.tracer.begin("step 1", 0, 0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        out = func(*args, **given)
        self.tracer(func, args, given, out, "forward", flops_of(func, args, given, out))
        return out


def _row(call: Call) -> Row:
    """Return what a call dispatches, its views left out."""
    spy = _Spy()
    with spy:
        call()
    (row,) = (row for row in spy.tracer.rows["step 1"] if not row.view)
    return row


def _in_turn(kinds: list[list[Call]]) -> list[Call]:
    """Return one call of each kind that goes over its copies.

    In a step a tensor is read long after it was written, when others have been through the caches.
    """

    def turning(copies: tuple[Call, ...]) -> Call:
        turn = cycle(copies)
        return lambda: next(turn)()

    return [turning(copies) for copies in zip(*kinds, strict=True)]


class Kernels:
    """The CPU's kernels, to be timed with torch's threads as they are."""

    def __init__(self) -> None:
        with torch.no_grad():
            kinds = [_everything() for _ in range(COPIES)]
            self._works = [measured_as(_row(call)) for call in kinds[0]]
        self.timed = Repeated(dict(enumerate(_in_turn(kinds))))

    def measure(self) -> None:
        """Time them all, beside what was measured before."""
        with torch.no_grad():
            self.timed.measure()

    def spread(self) -> float:
        """Return by how much their least seconds are uncertain, as a fraction."""
        return self.timed.spread()

    def curves(self) -> tuple[Curve, ...]:
        """Return what the least of all that was measured is."""
        least = self.timed.least()
        smallest = least[0]  # a call's own: what every kernel's time is beyond
        found: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for number, (name, work) in enumerate(self._works):
            found[name].append((work, max(0.0, least[number] - smallest)))
        return tuple(
            Curve(op=name, points=tuple(sorted(points))) for name, points in sorted(found.items())
        )
