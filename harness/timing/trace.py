"""What an observer writes down of every dispatched operator: all that its time depends on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from harness.metering.launches import Launch
from harness.timing.kernels import PLAIN, WAITS, Cost, cost_of

Moved = tuple[tuple[int, int], ...]  # (storage, bytes) of tensors


class Row(NamedTuple):
    """One dispatched operator.

    Attributes:
        op: its name, such as `aten::addmm`.
        part: of the step: forward, backward, optimizer; or evaluation, probe.
        view: it launches no kernel: a view, a tensor without values, or work of the host.
        flops: of its matrix products, a multiply-add as two.
        dtype: in which it computes.
        reads, writes: of its tensors.
        waits: the host waits until the device is done.
        pieces: tensors of its list, or dimensions that it transforms.
        shape: of what a factorisation or a transform works on.
        cost: what else it launches.
    """

    op: str
    part: str
    view: bool
    flops: int
    dtype: torch.dtype | None
    reads: Moved
    writes: Moved
    waits: bool = False
    pieces: int = 1
    shape: tuple[int, ...] = ()
    cost: Cost = PLAIN


class Facts(NamedTuple):
    """What an operator's schema says of its calls.

    Attributes:
        cost: None: nobody knows.
        written: (position, name) of the arguments that it writes over.
        replaced: it does not read what it writes over.
        counted: which argument's length says how much one call works through; -1: none.
        shaped: its time depends on its input's shape, not on bytes alone.
    """

    name: str
    cost: Cost | None
    written: tuple[tuple[int, str], ...]
    replaced: bool
    counted: int
    shaped: bool
    waits: bool
    asks: bool


_REPLACED = ("fill_", "zero_", "copy_", "normal_", "uniform_", "bernoulli_", "_foreach_copy_",
             "_foreach_zero_", "random_", "exponential_")  # fmt: skip
_FLOAT = {torch.bfloat16, torch.float16, torch.float32, torch.float64}
_LIFT = torch.ops.aten.lift_fresh.default
_facts: dict[Any, Facts] = {}


def _facts_of(func: Any) -> Facts:
    found = _facts.get(func)
    if found is None:
        name = func._schema.name
        short, cost = name.partition("::")[2], cost_of(func)
        written = tuple(
            (i, a.name) for i, a in enumerate(func._schema.arguments)
            if a.alias_info is not None and a.alias_info.is_write
        )  # fmt: skip
        counted = -1
        if cost is not None and (cost.each or cost.lists or cost.dims):
            counted = 1 if cost.dims else 0
        shaped = cost is not None and cost.columns > 0
        found = _facts[func] = Facts(
            name, cost, written, short in _REPLACED, counted, shaped, short in WAITS,
            short in ("index", "_to_copy", "copy_"),
        )  # fmt: skip
    return found


class Tracer:
    """Writes a row per operator, activity by activity.

    Attributes:
        rows: by activity: `step 1` and on for steps (step 0 is left out), `evaluation`, `probe`.
        sizes: examples and tokens of each activity.
        passes: by activity, the number of the row with which each forward pass begins.
        modules: by activity, the number of the row before which each module is called, where the
            tracer is told of them.
        unknown: operators whose kernels nobody knows.
        device: type of the tensors that stand for the device's: where it is `cpu`, the host's look
            alike.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        self.passes: dict[str, list[int]] = {}
        self.modules: dict[str, list[int]] = {}
        self.unknown: set[str] = set()
        self.device = "meta"
        self._current: list[Row] | None = None
        self._passes, self._modules = list[int](), list[int]()
        self._part = ""
        self._views: dict[Any, Row] = {}  # of this part
        self._lifted: set[int] = set()

    def begin(self, activity: str, examples: int, tokens: int) -> None:
        """Note that an activity begins; its passes' examples and tokens are all counted."""
        self.sizes[activity] = (examples, tokens)
        self._current = self.rows.setdefault(activity, [])
        self._passes = self.passes.setdefault(activity, [0])
        self._modules = self.modules.setdefault(activity, [])
        self._part = ""

    def enter(self, *_: object) -> None:
        """Note that a module is called, as a hook of torch's before its forward."""
        if self._current is not None:
            self._modules.append(len(self._current))

    def launch(self, kernel: Launch, part: str) -> None:
        """Write down a kernel that no operator stands for."""
        if self._current is None:
            return
        self._begin(part)
        if not kernel.known:
            self.unknown.add(kernel.name)
        types = [t.dtype for t in (*kernel.reads, *kernel.writes)]
        if not kernel.flops:
            types = [dtype for dtype in types if dtype in _FLOAT]
        self._current.append(Row(
            kernel.name, part, False, kernel.flops, next(iter(types), None),
            tuple(map(_held, kernel.reads)), tuple(map(_held, kernel.writes)), kernel.waits,
        ))  # fmt: skip

    def __call__(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any, part: str,
        flops: int,
    ) -> None:  # fmt: skip
        """Write down one operator."""
        if func is _LIFT:
            self._lifted.add(_key(out))
        if self._current is None:
            return
        if part != self._part:
            self._begin(part)
        row = self._views.get(func)
        if row is None:
            facts = _facts.get(func) or _facts_of(func)
            cost = facts.cost
            if cost is None:
                self.unknown.add(facts.name)
                cost = PLAIN
            if cost.kernel:
                row = self._row(facts, cost, args, kwargs, out, flops)
            else:
                row = self._views[func] = self._view(facts)
        self._current.append(row)

    def _begin(self, part: str) -> None:
        if part != self._part:
            if part == "forward" and self._part == "backward" and self._current is not None:
                self._passes.append(len(self._current))
            self._part, self._views = part, {}

    def _view(self, facts: Facts) -> Row:
        return Row(facts.name, self._part, True, 0, None, (), ())

    def _row(
        self, facts: Facts, cost: Cost, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any,
        flops: int,
    ) -> Row:  # fmt: skip
        ins = _listed((*args, *kwargs.values()) if kwargs else args)
        over = [
            tensor
            for i, name in facts.written
            for tensor in _listed((args[i] if i < len(args) else kwargs.get(name),))
        ]
        outs = over or ([out] if isinstance(out, Tensor) else _listed((out,)))
        if self._on_host(ins, outs):
            return self._view(facts)
        read = [t for t in ins if not any(t is o for o in over)] if facts.replaced else ins
        reads, writes = [_held(t) for t in read], [_held(t) for t in outs]
        if cost.moves != "whole":
            reads, writes = _moved(cost.moves, reads, writes)
        dtype = next((t.dtype for t in (ins if flops else outs) if t.dtype in _FLOAT), None)
        shape = tuple(ins[0].shape) if facts.shaped and ins else ()
        pieces = len(args[facts.counted]) if facts.counted >= 0 else 1
        waits = facts.waits or (facts.asks and self._asks(facts.name, args, ins, outs))
        return Row(facts.name, self._part, False, flops, dtype, tuple(reads), tuple(writes), waits,
                   pieces, shape, cost)  # fmt: skip

    def _on_host(self, ins: list[Tensor], outs: list[Tensor]) -> bool:
        """Tell whether an operator is of the host's tensors, such as an optimizer's counters."""
        if self.device == "cpu":  # all look alike: known are those that were made of numbers
            return len(ins) == 1 and not outs and _key(ins[0]) in self._lifted
        return not any(not t.is_cpu for t in outs or ins) and all(t.is_cpu for t in ins)

    def _asks(
        self, name: str, args: tuple[Any, ...], ins: list[Tensor], outs: list[Tensor]
    ) -> bool:
        """Tell whether a copy or an indexing needs values on the host."""
        if name == "aten::index":
            return any(i is not None and i.dtype is torch.bool for i in args[1])
        kinds = [any(t.is_cpu for t in several) for several in (ins, outs)]
        return self.device != "cpu" and kinds == [False, True]


def _moved(
    moves: str, reads: list[tuple[int, int]], writes: list[tuple[int, int]]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return what is moved where not all of every tensor is."""
    largest = max((size for _, size in reads), default=0)
    if moves == "scatter":  # the rest of what is written into stays as it is
        into = {key for key, _ in writes}
        given = max((size for key, size in reads if key not in into), default=0)
        reads = [(key, min(size, given)) for key, size in reads]
        return reads, [(key, min(size, given)) for key, size in writes]
    most = sum(size for _, size in writes) if moves == "gather" else 0
    return [(key, min(size, most) if size == largest else size) for key, size in reads], writes


def _key(tensor: Tensor) -> int:
    """Name the memory that a tensor is in."""
    if tensor.layout is not torch.strided:
        return id(tensor)
    return int(tensor.untyped_storage()._cdata)


def _held(tensor: Tensor) -> tuple[int, int]:
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


def _listed(values: Iterable[Any]) -> list[Tensor]:
    """Return the tensors among arguments or results, and in their lists."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += _listed(value)
    return found
