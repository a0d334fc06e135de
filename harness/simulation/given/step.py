"""Steps of somebody else's on tensors without values, and what they need on a card.

What is built is real: a model with its weights, on the CPU or on `meta`. Then every tensor that the
step refers to loses its values, and the step runs as it is written, twice: what comes once, such as
an optimizer's state, comes in the first. It wants a process of its own: a step leaves its marks.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils._pytree import tree_map

from harness.errors import UserError
from harness.metering.events import Event, LedgerReport, summarize
from harness.metering.ledger import Ledger
from harness.simulation.answers import KnownAnswers
from harness.simulation.choices import choices_of
from harness.simulation.given.found import Found, found_in, libraries
from harness.simulation.given.hollow import hollow_like, hollow_out
from harness.simulation.given.places import as_on_card
from harness.simulation.given.rebound import rebound
from harness.simulation.given.values import MOST, KnownValues
from harness.simulation.host import on_device
from harness.simulation.observer import Observer, Workspaces
from harness.simulation.target import Target
from harness.simulation.untouched import untouched_gpu

NUM_STEPS = 2
# Modules whose kernels on a GPU are libraries of their own, which nobody has looked at.
REFUSED = (nn.RNNBase,)


@dataclass
class Given:
    """A step, and what it works on.

    Attributes:
        step: runs one step; is given what puts the batch on the card.
        refers: objects whose tensors lie on the card, beside those that the step refers to.
        batch: of every step, on the host.
    """

    step: Callable[[Callable[[], Any]], object]
    refers: tuple[Any, ...] = ()
    batch: Any = None


@dataclass(frozen=True)
class GivenRun:
    """The log of the steps, as `FakeRun` has it; see there.

    Attributes:
        root: what the paths of modules begin with, where there is one model; else empty.
    """

    events: list[Event]
    since: int
    report: LedgerReport
    root: str
    begins: dict[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    seconds: float = 0.0


def run_given(
    given: Given, target: Target, *, meta: bool, values: dict[str, Any] | None = None,
    num_steps: int = NUM_STEPS,
) -> GivenRun:  # fmt: skip
    """Run the step on a device that is not here.

    Args:
        given: the step. Its tensors lose their values.
        target: the device.
        meta: on `meta` tensors, several times faster than fake ones, and without autocast.
        values: what code reads from tensors, by `file.py:function`.
        num_steps: at least two.

    Raises:
        UserError: something in it cannot be simulated.
        AutocastNeedsValues: it runs under autocast, and on `meta`.
    """
    began = time.perf_counter()
    warnings.simplefilter("ignore")
    found = found_in(given.step, *given.refers)
    model = _joined(found.models)
    for module in model.modules():
        _refuse(module)
    numbers = {id(t): t.detach().clone() for t in found.tensors if _is_number(t)}
    device, mode = torch.device("meta" if meta and target.kind == "cuda" else "cpu"), None
    with ExitStack() as stack:
        if device.type == "meta":
            from harness.simulation.metakernels import restore_native_kernels

            restore_native_kernels()
        else:
            from torch._subclasses.fake_tensor import FakeTensorMode

            mode = FakeTensorMode()
        hollow_out(found.tensors, mode)
        stack.enter_context(mode or nullcontext())
        answers = stack.enter_context(KnownAnswers())
        known = stack.enter_context(KnownValues(values or {}, libraries()))
        for tensor in found.tensors:
            if id(tensor) in numbers:
                known.remember(tensor, numbers[id(tensor)])
        functions = stack.enter_context(rebound())
        kernels = stack.enter_context(choices_of(target, autocasts=device.type == "cpu"))
        functions.follow()
        stack.enter_context(untouched_gpu())
        observer = Observer(target)
        ledger = Ledger(
            _declared(found), rounding=target.rounding, device=device, model=model,
            observe=observer,
        )  # fmt: skip
        inputs = partial(_on_card, given.batch, mode, known, ledger)
        on_card = stack.enter_context(as_on_card(device, ledger.emptied))
        step = partial(given.step, inputs)
        events, since = _repeated(step, found, ledger, observer, target, num_steps)
        said = (*known.remarks, *on_card.remarks, *sorted(answers.assumed))
    root = next(iter(model._modules)) if len(model._modules) == 1 else ""
    report = summarize(events, since, top=10_000)
    seconds = time.perf_counter() - began
    return GivenRun(events, since, report, root, {}, said, tuple(sorted(kernels)), seconds)


def _repeated(
    step: Callable[[], object], found: Found, ledger: Ledger, observer: Observer, target: Target,
    num_steps: int,
) -> tuple[list[Event], int]:  # fmt: skip
    """Run the steps; return the log on the device, and where the second step begins in it."""
    since = 0
    with ledger:
        watch = Workspaces(ledger, observer, target)
        with _marked(watch, ledger, found):
            for number in range(max(2, num_steps)):
                if number == 1:
                    since = len(ledger.events)
                watch.mark("forward")
                kept = step()
                watch.mark("end")
                del kept
        events = list(ledger.events)
    on_it, [since] = on_device(events, (since,), target)
    return on_it, since


def _on_card(batch: Any, mode: Any, known: KnownValues, ledger: Ledger) -> Any:
    """Return the batch as it is copied to the card; whole numbers are known there, too."""

    def copied(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        hollow = hollow_like(value, mode)
        if _is_number(value):
            known.remember(hollow, value)
        ledger.declare("inputs", [hollow])
        return hollow

    return tree_map(copied, batch)


@contextmanager
def _marked(watch: Workspaces, ledger: Ledger, found: Found) -> Iterator[None]:
    """Tell of the step's parts: backward, an optimizer's step, and forward passes after those."""
    backward, grad = torch.autograd.backward, torch.autograd.grad
    part = ["forward"]

    def marks(name: str) -> None:
        part[0] = name
        watch.mark(name)

    def told(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            inside = part[0] == "backward"
            if not inside:
                marks("backward")
            out = function(*args, **kwargs)
            if not inside:
                part[0] = "after"
            return out

        return call

    def stepped(optimizer: Any, *_: object) -> None:
        if optimizer not in found.optimizers:  # made in the step
            found.optimizers.append(optimizer)
        ledger.optimizer = optimizer
        marks("optimizer")

    def entered(module: nn.Module, *_: object) -> None:
        _refuse(module)
        if part[0] in {"after", "optimizer"}:
            marks("forward")

    handles = [
        register_optimizer_step_pre_hook(stepped), hooks.register_module_forward_pre_hook(entered)
    ]  # fmt: skip
    try:
        with (
            mock.patch.object(torch.autograd, "backward", told(backward)),
            mock.patch.object(torch.autograd, "grad", told(grad)),
        ):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _refuse(module: nn.Module) -> None:
    """Refuse modules of which it is known that the forecast would be wrong.

    Raises:
        UserError: it is one of them.
    """
    if isinstance(module, REFUSED):
        raise UserError(
            f"nn.{type(module).__name__} cannot be simulated: cuDNN's recurrent kernels hold "
            "memory of their own, which nobody here has looked at"
        )
    if type(module).__name__ == "OptimizedModule":
        raise UserError(
            "a compiled model cannot be simulated: what the compiler keeps is another step's; give "
            "the model as it was before torch.compile"
        )


def _joined(models: dict[str, nn.Module]) -> nn.Module:
    """Return one module that has all models in it, by their names; a single one by its class."""
    joined = nn.Module()
    for name, model in models.items():
        called = type(model).__name__ if len(models) == 1 else name.replace(".", "_")
        joined.add_module(called, model)
    return joined


def _declared(found: Found) -> dict[str, Iterable[Tensor]]:
    """Return what lies on the card before the step: frozen weights apart from those that train."""
    parameters = {id(p): p for m in found.models.values() for p in m.parameters()}
    buffers = {id(b): b for m in found.models.values() for b in m.buffers()}
    trained = [p for p in parameters.values() if p.requires_grad]
    frozen = [p for p in parameters.values() if not p.requires_grad]
    rest = [t for t in found.tensors if id(t) not in parameters and id(t) not in buffers]
    return {
        "weights.base": [*frozen, *buffers.values()], "weights.adapter": trained,
        "inputs": [t for t in rest if not _is_state(t, found)],
    }  # fmt: skip


def _is_state(tensor: Tensor, found: Found) -> bool:
    states = (state for one in found.optimizers for state in one.state.values())
    return any(tensor is value for state in states for value in state.values())


def _is_number(tensor: Tensor) -> bool:
    """Tell whether a tensor's values are kept: whole numbers, as many as a batch has."""
    whole = not (tensor.is_floating_point() or tensor.is_complex())
    return whole and not tensor.is_meta and tensor.numel() <= MOST
