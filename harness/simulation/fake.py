"""The training step on tensors without values: every byte of it, no weights and no GPU.

The model comes from its config, the method is attached, and the harness's own step runs: forward,
backward, clipping, optimizer. Nothing is computed or held; the ledger writes down each tensor's
birth and death as on a real device. Two stand-ins for the device:

- `meta` tensors, which torch handles without any Python code of its own: fast, the rule;
- fake tensors on the `cpu`, several times slower: for autocast, which meta tensors do not have,
  and for a forecast of the CPU itself.

On a machine with a GPU, fake `cuda` tensors make torch choose by itself: a check of our choices.

Where the first two can both run they agree (tests). Run this in a process of its own: it changes
torch's functions while it runs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import flop_registry, shape_wrapper

from harness.metering.events import Event, LedgerReport, summarize
from harness.metering.flops import CPU_ATTENTION
from harness.metering.ledger import Ledger
from harness.metering.meter import declared_tensors
from harness.models.load import build_model
from harness.shapes import BatchShape
from harness.simulation import scratch
from harness.simulation.answers import KnownAnswers
from harness.simulation.choices import choices_of
from harness.simulation.request import Request, StandIn
from harness.simulation.target import Target
from harness.tasks.families import get_family
from harness.training.attach import build_step
from harness.training.batches import Batch
from harness.training.precision import weight_dtype
from harness.training.state import TrainState
from methods import get_method
from methods.common.fakes import structure_only


@dataclass(frozen=True)
class FakeRun:
    """The log of the steps and what it says.

    Attributes:
        events: everything since before the first step, for an allocator replay.
        since: number of the event with which the second step begins.
        report: of the second step and later ones.
        parameters: total, adapter_trainable, head_trainable, adapter_stored.
        flops_forward: of one optimizer step's forward passes; `flops_step` with backward.
    """

    events: list[Event]
    since: int
    report: LedgerReport
    parameters: dict[str, int]
    flops_forward: int
    flops_step: int


def fake_run(request: Request, stand_in: StandIn | None = None) -> FakeRun:
    """Build everything without values and run the request's steps, at least two.

    Args:
        request: what to run.
        stand_in: None takes the request's, or else `meta` where it can do the work.

    Raises:
        UserError: the model or the method cannot be built like this, or code reads a value from a
            tensor at a place that is not known.
    """
    warnings.simplefilter("ignore")
    device = torch.device(stand_in or default_stand_in(request))
    with ExitStack() as stack:
        if device.type != "meta":
            from torch._subclasses.fake_tensor import FakeTensorMode

            stack.enter_context(FakeTensorMode())
        stack.enter_context(KnownAnswers(padded=request.mask))
        if device.type != "cuda":
            stack.enter_context(choices_of(request.target, autocasts(request)))
        return _observed(request, _build(request, device), device)


def _build(request: Request, device: torch.device) -> TrainState:
    """Build the model without drawing its weights, and the step on it."""
    from transformers.initialization import no_init_weights

    settings, family = request.train, get_family(request.family)
    with device, no_init_weights():
        model: Any = build_model(
            request.model, family, request.num_labels, settings.attention,
            weight_dtype(settings.precision), settings.keep_outputs,
        )  # fmt: skip
    with device:
        model.tie_weights()  # as in a real one
    method = get_method(request.method)(**structure_only(request.method_options))
    foreach = True if request.target.kind == "cuda" else None
    return build_step(
        model.train(), method, request.plan(), settings, device, family,
        stage=request.stage, foreach=foreach,
    )  # fmt: skip


def _observed(request: Request, state: TrainState, device: torch.device) -> FakeRun:
    """Run the steps under the ledger."""
    target, handle = request.target, state.handle
    steps = request.steps if len(request.steps) > 1 else request.steps * 2
    observer = _Observer(target)
    ledger = Ledger(
        declared_tensors(state.model, handle), optimizer=state.optimizer,
        rounding=target.rounding, device=device, model=state.model, observe=observer,
    )  # fmt: skip
    since, accumulate = 0, request.train.accumulate
    with ledger:
        watch = _Workspaces(ledger, observer, target)
        for number, shape in enumerate(steps):
            if number == 1:
                since = len(ledger.events)
                observer.restart()
            batches = _batches(request, state.model, shape, device)
            state.step.run(number, batches, accumulate, watch)
    events, since = _on_device(ledger.events, since, target)
    return FakeRun(
        events=events,
        since=since,
        report=summarize(events, since, top=10_000),
        parameters=_count(state),
        flops_forward=observer.flops["forward"] // (len(steps) - 1),
        flops_step=sum(observer.flops.values()) // (len(steps) - 1),
    )


def autocasts(request: Request) -> bool:
    """Tell whether the forward pass runs under autocast."""
    return request.train.precision in {"bf16", "fp16"}


def default_stand_in(request: Request) -> StandIn:
    """Return the stand-in that the request names, or one that can do its work."""
    if request.stand_in is not None:
        return request.stand_in
    return "cpu" if request.target.kind == "cpu" or autocasts(request) else "meta"


def _batches(
    request: Request, model: nn.Module, shape: BatchShape, device: torch.device
) -> Iterator[Batch]:
    for _ in range(request.train.accumulate):
        with device:
            batch = request.hollow_batch(model, shape)
        yield batch


def _count(state: TrainState) -> dict[str, int]:
    adapter = [p for p in state.handle.parameters() if p.requires_grad]
    stored = [*state.handle.parameters(), *state.handle.buffers.values()]
    return {
        "total": sum(p.numel() for p in state.model.parameters()),
        "adapter_trainable": sum(p.numel() for p in adapter),
        "head_trainable": sum(p.numel() for p in state.head),
        "adapter_stored": sum(t.numel() for t in stored if t.is_floating_point()),
    }


def _on_device(events: list[Event], since: int, target: Target) -> tuple[list[Event], int]:
    """Leave out the optimizer's step counters, which torch keeps in host memory."""

    def is_counter(event: Event) -> bool:
        block = event.block
        return (
            block is not None and block.category == "optimizer" and block.op == "aten::lift_fresh"
        )

    if target.kind == "cpu":
        return events, since
    dropped = sum(map(is_counter, events[:since]))
    return [event for event in events if not is_counter(event)], since - dropped


class _Observer:
    """Sees every operator: counts FLOPs by part of the step, knows the kernels' scratch memory."""

    def __init__(self, target: Target) -> None:
        self.target, self.part = target, "forward"
        self.on_addmm: Callable[[], None] = lambda: None
        self.restart()

    def restart(self) -> None:
        """Count from 0."""
        self.flops = {"forward": 0, "backward": 0}

    def __call__(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
        count = _COUNTERS.get(func._overloadpacket)
        if count is not None and self.part in self.flops:
            self.flops[self.part] += int(count(*args, **kwargs, out_val=out))
        if func in scratch.KNOWN and self.target.kind == "cuda":
            return scratch.scratch_bytes(func, args, self.target)
        if func is scratch.ADDMM:
            self.on_addmm()
        return 0


_COUNTERS: dict[Any, Any] = {
    **flop_registry,
    **{
        packet: shape_wrapper(count)  # type: ignore[no-untyped-call]
        for packet, count in CPU_ATTENTION.items()
    },
}


class _Workspaces:
    """Passes the step's marks on; the first matrix products of each thread bring workspaces."""

    def __init__(self, ledger: Ledger, observer: _Observer, target: Target) -> None:
        self.ledger, self.observer = ledger, observer
        self.missing = {"forward", "backward"}
        self.without_lt = {"forward", "backward"} if target.kind == "cuda" else set()
        self.size = scratch.workspace_bytes(target)
        self.declare = ledger.declare
        observer.on_addmm = self._hold_lt

    def mark(self, name: str) -> None:
        self.ledger.mark(name)
        self.observer.part = name
        if name in self.missing and self.size:
            self.missing.remove(name)
            self.ledger.hold(self.size, "cublas::workspace")

    def _hold_lt(self) -> None:
        if self.observer.part in self.without_lt:
            self.without_lt.remove(self.observer.part)
            self.ledger.hold(scratch.LT_WORKSPACE, "cublaslt::workspace")
