"""Every storage alive during a training step, on CPU, CUDA or fake tensors."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass

from harness.metering.events import (
    CATEGORIES,
    MARKS,
    Alive,
    Event,
    LedgerReport,
    alive_now,
    summarize,
)
from harness.metering.hidden import watch_hidden
from harness.metering.inside import bytes_inside
from harness.metering.paths import ModulePaths
from harness.metering.storages import Storages
from harness.out_of_memory import is_out_of_memory

__all__ = ["Ledger", "LedgerReport"]

Observer = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], int]
_ADD = torch.ops.aten.add.Tensor
_DEVICE = torch.ops.prim.device.default


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Log every storage that comes and goes while the context is open.

    Categories follow from what is declared and from lifetimes: what is in `.grad` at the mark
    `optimizer` is `gradients`; what is in the optimizer's state at the mark `end` is `optimizer`;
    what else was born since the start and lives at the mark `backward`, and what backward
    recomputes and then consumes (checkpointing, reversible blocks), is `activations`; what was
    made just before the mark `forward` is `inputs`; the rest is `temporary`. A category holds
    from a storage's birth.

    Scratch memory inside one kernel is not seen; on CPU that is above all oneDNN's in bf16 matrix
    products, a few hundred kB.

    Args:
        tensors_by_category: those alive at the start; the first claim on a storage stands.
            Gradients are looked up in `.grad` of these tensors and of the optimizer's.
        optimizer: its state is found by itself; the attribute may be set later.
        inputs: tensors of category `inputs`.
        rounding: 512 as CUDA's allocator does; 1 says that host memory is metered.
        device: count only tensors of this device type; None counts all.
        model: names the module in which each block was made; None leaves paths empty.
        observe: called after every operator with (operator, args, kwargs, output); returns the
            bytes of scratch memory that its kernel takes and gives back.

    One ledger serves one `with` block; the block may hold several steps.

    Attributes:
        lacking: what was alive when memory ran out inside of the block, which ended it.
    """

    def __init__(
        self,
        tensors_by_category: Mapping[str, Iterable[Tensor]] | None = None,
        *,
        optimizer: Optimizer | None = None,
        inputs: Iterable[Tensor] = (),
        rounding: int = 1,
        device: torch.device | str | None = None,
        model: nn.Module | None = None,
        observe: Observer | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.optimizer = optimizer
        self._meters_host = rounding == 1
        self._storages = Storages(rounding, device)
        self._num_marked = 0
        self._observe = observe
        self._paths = None if model is None else ModulePaths(model)
        self._owners: dict[int, weakref.ref[Tensor]] = {}
        self._open = ExitStack()
        self._closed = False
        self.lacking: Alive | None = None
        for category, tensors in (tensors_by_category or {}).items():
            self.declare(category, tensors)
        self.declare("inputs", inputs)
        self._claim_state()
        self._claim_gradients()

    @property
    def events(self) -> list[Event]:
        """Births and deaths of blocks, and the marks, in order: all that a replay needs."""
        return self._storages.events

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
        for block in self._storages.live():
            if block.category is not None or block.op == "existing":
                continue
            if name == "backward":
                block.category = "activations"
            elif name == "forward" and block.id >= self._num_marked and block.maker < 0:
                block.category = "inputs"
        self._num_marked = self._storages.num_blocks
        self.events.append(Event("mark", None, name))

    def emptied(self) -> None:
        """Note that the allocator's cache is given back."""
        self.events.append(Event("empty", None))

    def hold(self, num_bytes: int, source: str) -> None:
        """Log memory that no tensor shows and that stays until the end."""
        self._storages.hold(num_bytes, source)

    def report(self, since: int = 0, top: int = 30) -> LedgerReport:
        """Sum up the log from event number `since` on; `top` holders are named."""
        return summarize(self.events, since, top)

    def __enter__(self) -> Ledger:
        if self._closed:
            raise RuntimeError("a ledger serves one `with` block; make a new one")
        self._open.enter_context(watch_hidden(self._see_snapshot, self._storages.see_resize))
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
        if self.lacking is None and error is not None and is_out_of_memory(error):
            self._note_lack()  # no operator asked; what the error's frames hold is still alive
        self._closed = True
        self._storages.close()
        self._open.close()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator and look at its outputs."""
        if func is _DEVICE and hasattr(args[0], "fake_device"):
            return args[0].fake_device  # two of three calls on fake tensors; no mode need hear it
        try:
            out = func(*args, **kwargs) if kwargs else func(*args)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                self._note_lack(func.name())
            raise
        self._storages.forget_sum()
        node = torch._C._current_autograd_node()
        maker = -1 if node is None else node._sequence_nr()
        path = "" if self._paths is None else self._paths.current(maker)
        for tensor in (out,) if isinstance(out, Tensor) else _tensors(out):
            self._storages.see(tensor, func, path, maker)
        if func is _ADD and maker >= 0 and not torch.is_grad_enabled() and _called_by_engine():
            self._storages.expect_sum(args[0], out, maker)
        scratch = bytes_inside(func, args, kwargs or {})
        if self._observe is not None:
            scratch += self._observe(func, args, kwargs or {}, out)
        if scratch:
            self._storages.flash(scratch, func.name(), path)
        return out

    def _note_lack(self, op: str = "") -> None:
        """Keep what is alive now, by the categories that it will never come to have."""
        if self.lacking is not None:
            return  # the first one: what came later was made to tell of it
        self._claim_gradients()
        self._claim_state()
        part = next((e.name for e in reversed(self.events) if e.kind == "mark"), "start")
        if part == "forward":
            for block in self._storages.live():
                if block.category is None and block.op != "existing":
                    block.category = "activations"
        node = torch._C._current_autograd_node()
        maker = -1 if node is None else node._sequence_nr()
        path = "" if self._paths is None else self._paths.current(maker)
        self.lacking = alive_now(self._storages.live(), op, path, part)

    def _see_snapshot(self, state: Tensor) -> None:
        if self._meters_host:
            self._storages.see(state, "get_rng_state")

    def _claim(self, category: str, tensor: Tensor, owner: Tensor) -> None:
        block = self._storages.see(tensor, "existing")
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
        if is_traceable_wrapper_subclass(value):  # which has no storage of its own
            for name in value.__tensor_flatten__()[0]:
                yield from _tensors(getattr(value, name))
        else:
            yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _called_by_engine() -> bool:
    """Whether the dispatched operator was called by autograd's engine or a node in C++."""
    try:
        caller = sys._getframe(2)
    except ValueError:  # a thread of the engine's own, as on CUDA: no Python below
        return True
    return caller.f_code.co_name == "_engine_run_backward"
