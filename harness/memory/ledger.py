"""Every storage alive during a training step, on CPU, CUDA or fake tensors."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from harness.memory.events import CATEGORIES, MARKS, Block, Event, LedgerReport, summarize
from harness.memory.hidden import watch_hidden
from harness.memory.paths import ModulePaths

_ADD = torch.ops.aten.add.Tensor
_IS_DENSE = torch.ops.aten.is_non_overlapping_and_dense
# The schema calls it a view, but it is where a tensor made from Python data comes to light.
_LIFT = torch.ops.aten.lift_fresh.default


class _StorageRef(weakref.ref[torch.UntypedStorage]):
    """Weak reference that knows its storage's address when the storage is gone."""

    __slots__ = ("key",)
    key: int


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Log every storage that comes and goes while the context is open.

    Operators' outputs show when a storage is born; the finalizer of its Python object, which
    torch keeps for as long as the storage lives, shows when it dies. Nothing is kept alive.

    Categories follow from what is declared and from lifetimes: what is in `.grad` at the mark
    `optimizer` is `gradients`; what is in the optimizer's state at the mark `end` is `optimizer`;
    what else was born since the start and lives at the mark `backward`, and what backward
    recomputes and then consumes (checkpointing, reversible blocks), is `activations`; what was
    made just before the mark `forward` is `inputs`; the rest is `temporary`. A category holds
    from a storage's birth.

    Scratch memory inside one kernel is not seen; on CPU that is above all oneDNN's in bf16 matrix
    products, a few hundred kB.

    Args:
        known: tensors alive at the start by category; the first claim on a storage stands.
            Gradients are looked up in `.grad` of these tensors and of the optimizer's.
        optimizer: its state is found by itself; the attribute may be set later.
        inputs: tensors of category `inputs`.
        rounding: 512 as CUDA's allocator does; 1 says that host memory is metered.
        device: count only tensors of this device type; None counts all.
        model: names the module in which each block was made; None leaves paths empty.

    One ledger serves one `with` block; the block may hold several steps.
    """

    def __init__(
        self,
        known: Mapping[str, Iterable[Tensor]] | None = None,
        *,
        optimizer: Optimizer | None = None,
        inputs: Iterable[Tensor] = (),
        rounding: int = 1,
        device: torch.device | str | None = None,
        model: nn.Module | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.events: list[Event] = []
        self.optimizer = optimizer
        self._rounding = rounding
        self._device = torch.device(device).type if device is not None else None
        self._paths = ModulePaths(model) if model is not None else None
        self._live: dict[int, tuple[_StorageRef, Block]] = {}
        self._num_blocks = self._num_marked = 0
        self._owners: dict[int, weakref.ref[Tensor]] = {}
        self._sum: tuple[Block, int] | None = None
        self._open = ExitStack()
        self._closed = False
        for category, tensors in (known or {}).items():
            self.declare(category, tensors)
        self.declare("inputs", inputs)
        self._claim_state()
        self._claim_gradients()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # The default wraps every dispatch and imports torch._dynamo, which takes seconds.
        return False

    def declare(self, category: str, tensors: Iterable[Tensor]) -> None:
        """Put the tensors' storages into `category`, from their birth on.

        Raises:
            ValueError: unknown category.
        """
        if category not in CATEGORIES:
            raise ValueError(f"unknown category {category!r}; allowed: {', '.join(CATEGORIES)}")
        for tensor in tensors:
            self._claim(category, tensor, tensor)
            self._owners[id(tensor)] = weakref.ref(tensor)

    def mark(self, name: str) -> None:
        """Note that a phase begins: `forward`, `backward`, `optimizer`, or the step's `end`.

        Raises:
            ValueError: unknown mark.
        """
        if name not in MARKS:
            raise ValueError(f"unknown mark {name!r}; allowed: {', '.join(MARKS)}")
        if name in ("forward", "optimizer"):
            self._claim_gradients()
        if name == "end":
            self._claim_state()
        for _, block in self._live.values():
            if block.category is not None or block.op == "existing":
                continue
            if name == "backward":
                block.category = "activations"
            elif name == "forward" and block.id >= self._num_marked and block.maker < 0:
                block.category = "inputs"
        self._num_marked = self._num_blocks
        self.events.append(Event("mark", None, name))

    def report(self, since: int = 0, top: int = 30) -> LedgerReport:
        """Sum up the log from event number `since` on; `top` holders are named."""
        return summarize(self.events, since, top)

    def __enter__(self) -> Ledger:
        if self._closed:
            raise RuntimeError("a ledger serves one `with` block; make a new one")
        self._open.enter_context(watch_hidden(self._snapshot_made, self._storage_resized))
        if self._paths is not None:
            self._open.enter_context(self._paths)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
        self._closed = True
        self._live.clear()
        self._open.close()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator and look at its outputs."""
        out = func(*args, **kwargs) if kwargs else func(*args)
        self._sum = None
        node = torch._C._current_autograd_node()
        maker = -1 if node is None else node._sequence_nr()
        path = "" if self._paths is None else self._paths.current(maker)
        for tensor in (out,) if isinstance(out, Tensor) else _tensors(out):
            self._see(tensor, func, path, maker)
        if func is _ADD and maker >= 0 and not torch.is_grad_enabled() and _called_by_engine():
            self._watch_sum(args[0], out, maker)
        return out

    def _see(self, tensor: Tensor, source: Any, path: str = "", maker: int = -1) -> Block | None:
        """Find the block of a tensor's storage; log it where it is new or was resized."""
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
        return self._born(ref, Block(self._num_blocks, size, op, path, None, maker, recomputed))

    def _size(self, storage: torch.UntypedStorage) -> int:
        return -(-storage.nbytes() // self._rounding) * self._rounding

    def _born(self, ref: _StorageRef, block: Block) -> Block:
        self._live[ref.key] = (ref, block)
        self._num_blocks += 1
        if block.size:
            self.events.append(Event("alloc", block))
        return block

    def _resized(self, ref: _StorageRef, old: Block, size: int) -> Block:
        # The new memory is there before the old one is copied and freed: both live for a moment.
        new = self._born(ref, replace(old, id=self._num_blocks, size=size))
        if old.size:
            self.events.append(Event("free", old))
        return new

    def _died(self, ref: weakref.ref[torch.UntypedStorage]) -> None:
        assert isinstance(ref, _StorageRef)
        if self._closed:
            return
        _, block = self._live.pop(ref.key)
        if block.recomputed and block.category is None and not torch.is_grad_enabled():
            block.category = "activations"
        if self._sum is not None and self._sum[0] is block:
            self._reuse(*self._sum)
        elif block.size:
            self.events.append(Event("free", block))

    def _watch_sum(self, old: Tensor, out: Tensor, maker: int) -> None:
        """Prepare for a sum of two gradients that the engine does in place in a plain step.

        The engine adds into the first gradient if nothing else refers to it, but never while a
        dispatch mode is on or on fake tensors. So where `old` dies as soon as it is added, a
        plain step on a real device makes no new storage, and the log must not have one either.
        A sum within one node's own formula (`maker` made `old`, too) does make one.
        """
        old_block, new_block = self._see(old, "existing"), self._see(out, "existing")
        if old_block is None or new_block is None or old_block.maker == maker:
            return
        if self.events[-1].block is new_block and _IS_DENSE(old):
            self._sum = (old_block, out.untyped_storage()._cdata)

    def _reuse(self, old: Block, key: int) -> None:
        """Let the storage at `key`, a sum, live on in the block of its first summand."""
        ref, new = self._live[key]
        index = next(i for i in reversed(range(len(self.events))) if self.events[i].block is new)
        del self.events[index]
        self._live[key] = (ref, old)
        self._sum = None

    def _snapshot_made(self, state: Tensor) -> None:
        if self._rounding == 1:
            self._see(state, "get_rng_state")

    def _storage_resized(self, storage: torch.UntypedStorage) -> None:
        entry = self._live.get(storage._cdata)
        if entry is not None and entry[1].size != self._size(storage):
            self._resized(*entry, self._size(storage))

    def _claim(self, category: str, tensor: Tensor, owner: Tensor) -> None:
        block = self._see(tensor, "existing")
        if block is not None and block.category in (None, "activations"):
            block.category = category
            if self._paths is not None:
                block.path = self._paths.name_of(owner) or block.path

    def _claim_gradients(self) -> None:
        for ref in self._owners.values():
            owner = ref()
            if owner is not None and owner.is_leaf and owner.grad is not None:
                self._claim("gradients", owner.grad, owner)

    def _claim_state(self) -> None:
        if self.optimizer is None:
            return
        for group in self.optimizer.param_groups:
            self._owners.update((id(owner), weakref.ref(owner)) for owner in group["params"])
        for owner, state in self.optimizer.state.items():
            for tensor in _tensors(state):
                self._claim("optimizer", tensor, owner)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in what an operator returned or an optimizer keeps."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


@cache
def _origin(func: Any) -> str:
    """Name the operator, or `existing` if its output is a view of a storage it did not make."""
    views = any(result.alias_info is not None for result in func._schema.returns)
    return "existing" if views and func is not _LIFT else str(func.name())


def _called_by_engine() -> bool:
    """Whether the dispatched operator was called by autograd's engine or a node in C++."""
    try:
        caller = sys._getframe(2)
    except ValueError:  # a thread of the engine's own, as on CUDA: no Python below
        return True
    return caller.f_code.co_name == "_engine_run_backward"
