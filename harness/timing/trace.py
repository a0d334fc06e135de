"""What an observer writes down of every dispatched operator: all that its time depends on."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from harness.metering.launches import Launch
from harness.timing.kernels import PLAIN, WAITS, Cost, cost_of
from harness.timing.rows import Held, Kind, Rows, held, storage_of, tensors_in


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
        self.rows: dict[str, Rows] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        self.passes: dict[str, list[int]] = {}
        self.modules: dict[str, list[int]] = {}
        self.unknown: set[str] = set()
        self.device = "meta"
        self._current: Rows | None = None
        self._passes: list[int] = []
        self._part = ""
        self._numbers: dict[Any, int] = {}  # of kinds, by what they differ in within a part
        self._lifted: set[int] = set()

    def begin(self, activity: str, examples: int, tokens: int) -> None:
        """Note that an activity begins; its passes' examples and tokens are all counted."""
        self.sizes[activity] = (examples, tokens)
        self._current = self.rows.setdefault(activity, Rows())
        self._passes = self.passes.setdefault(activity, [0])
        self._part, self._numbers = "", {}

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
        kind = Kind(kernel.name, part, False, next(iter(types), None), kernel.waits)
        number = self._current.number_of(kind)
        self._current.append(
            number, kernel.flops, map(held, kernel.reads), map(held, kernel.writes)
        )

    def __call__(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any, part: str,
        flops: int,
    ) -> None:  # fmt: skip
        """Write down one operator."""
        if func is _LIFT:
            self._lifted.add(storage_of(out))
        rows = self._current
        if rows is None:
            return
        if part != self._part:
            self._begin(part)
        number = self._numbers.get(func)
        if number is not None:  # a view
            rows.append(number)
            return
        facts = _facts.get(func) or _facts_of(func)
        cost = facts.cost
        if cost is None:
            self.unknown.add(facts.name)
        elif not cost.kernel:
            self._numbers[func] = number = rows.number_of(Kind(facts.name, part, True))
            rows.append(number)
            return
        self._write(rows, facts, args, kwargs, out, flops)

    def _begin(self, part: str) -> None:
        if part != self._part:
            if part == "forward" and self._part == "backward" and self._current is not None:
                self._passes.append(len(self._current))
            self._part, self._numbers = part, {}

    def _write(
        self, rows: Rows, facts: Facts, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any,
        flops: int,
    ) -> None:  # fmt: skip
        ins = tensors_in((*args, *kwargs.values()) if kwargs else args)
        over = [
            tensor
            for i, name in facts.written
            for tensor in tensors_in((args[i] if i < len(args) else kwargs.get(name),))
        ]
        outs = over or ([out] if isinstance(out, Tensor) else tensors_in((out,)))
        if self._on_host(ins, outs):
            rows.append(rows.number_of(Kind(facts.name, self._part, True)))
            return
        read = [t for t in ins if not any(t is o for o in over)] if facts.replaced else ins
        reads, writes = [held(t) for t in read], [held(t) for t in outs]
        cost = facts.cost or PLAIN
        if cost.moves != "whole":
            reads, writes = _moved(cost.moves, reads, writes)
        dtype = next((t.dtype for t in (ins if flops else outs) if t.dtype in _FLOAT), None)
        shape = tuple(ins[0].shape) if facts.shaped and ins else ()
        pieces = len(args[facts.counted]) if facts.counted >= 0 else 1
        waits = facts.waits or (facts.asks and self._asks(facts.name, args, ins, outs))
        differs = (facts.name, dtype, waits, pieces, shape)
        number = self._numbers.get(differs)
        if number is None:
            kind = Kind(facts.name, self._part, False, dtype, waits, pieces, shape, cost)
            self._numbers[differs] = number = rows.number_of(kind)
        rows.append(number, flops, reads, writes)

    def _on_host(self, ins: list[Tensor], outs: list[Tensor]) -> bool:
        """Tell whether an operator is of the host's tensors, such as an optimizer's counters."""
        if self.device == "cpu":  # all look alike: known are those that were made of numbers
            return len(ins) == 1 and not outs and storage_of(ins[0]) in self._lifted
        return not any(not t.is_cpu for t in outs or ins) and all(t.is_cpu for t in ins)

    def _asks(
        self, name: str, args: tuple[Any, ...], ins: list[Tensor], outs: list[Tensor]
    ) -> bool:
        """Tell whether a copy or an indexing needs values on the host."""
        if name == "aten::index":
            return any(i is not None and i.dtype is torch.bool for i in args[1])
        kinds = [any(t.is_cpu for t in several) for several in (ins, outs)]
        return self.device != "cpu" and kinds == [False, True]


def _moved(moves: str, reads: list[Held], writes: list[Held]) -> tuple[list[Held], list[Held]]:
    """Return what is moved where not all of every tensor is."""
    largest = max((size for _, size in reads), default=0)
    if moves == "scatter":  # the rest of what is written into stays as it is
        into = {key for key, _ in writes}
        given = max((size for key, size in reads if key not in into), default=0)
        reads = [(key, min(size, given)) for key, size in reads]
        return reads, [(key, min(size, given)) for key, size in writes]
    most = sum(size for _, size in writes) if moves == "gather" else 0
    return [(key, min(size, most) if size == largest else size) for key, size in reads], writes
