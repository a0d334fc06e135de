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
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry, shape_wrapper

from harness.metering.events import Event, LedgerReport, summarize
from harness.metering.flops import CPU_ATTENTION
from harness.metering.ledger import Ledger
from harness.metering.meter import declared_tensors
from harness.models import load as models
from harness.simulation import scratch
from harness.simulation.answers import KnownAnswers
from harness.simulation.choices import choices_of
from harness.simulation.fakeinputs import make_batch
from harness.simulation.request import Request, StandIn
from harness.simulation.target import Target
from harness.training.optim import apply_change, make_optimizer
from harness.training.precision import weight_dtype
from harness.training.setup import attach
from harness.training.step import Step
from methods import get_method
from methods.base import Handle, Stage
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
    steps = request.steps if len(request.steps) > 1 else request.steps * 2
    settings, target = request.train, request.target
    device = torch.device(stand_in or default_stand_in(request))
    with ExitStack() as stack:
        if device.type != "meta":
            from torch._subclasses.fake_tensor import FakeTensorMode

            stack.enter_context(FakeTensorMode())
        stack.enter_context(KnownAnswers(padded=request.mask))
        if device.type != "cuda":
            stack.enter_context(choices_of(target, autocasts(request)))
        with device:
            model = _build(request)
        handle, head = _attach(request, model, device)
        foreach = True if target.kind == "cuda" else None
        optimizer = make_optimizer(handle.model, head, settings, foreach, handle.undecayed)
        stage = Stage(request.stage.name, request.stage.fraction)
        apply_change(optimizer, handle.apply(stage))
        step = Step(handle.model, handle, optimizer, settings, device,
                    smooth=request.family == "classification", foreach=foreach)  # fmt: skip
        observer = _Observer(target)
        known = declared_tensors(handle.model, handle)
        ledger = Ledger(known, optimizer=optimizer, rounding=target.rounding, device=device,
                        model=handle.model, observe=observer)  # fmt: skip
        since = 0
        with ledger:
            watch = _Workspaces(ledger, observer, target)
            for number, (examples, length) in enumerate(steps):
                if number == 1:
                    since = len(ledger.events)
                    observer.restart()
                batches = _batches(request, handle.model, examples, length, device)
                step.run(number, batches, settings.accumulate, watch)
    events, since = _on_device(ledger.events, since, target)
    return FakeRun(
        events=events,
        since=since,
        report=summarize(events, since, top=10_000),
        parameters=_count(handle, head),
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


def _build(request: Request) -> nn.Module:
    """Build the model without drawing its weights; tied ones are tied, as in a real one."""
    from transformers.initialization import no_init_weights

    settings = request.train
    with no_init_weights():
        model: Any = models.build_model(
            request.model,
            task_head=request.family,
            num_labels=request.num_labels,
            attention=settings.attention,
            dtype=weight_dtype(settings.precision),
            use_cache=settings.keep_outputs,
        )
    model.tie_weights()
    built: nn.Module = model.train()
    return built


def _attach(
    request: Request, model: nn.Module, device: torch.device
) -> tuple[Handle, list[nn.Parameter]]:
    method = get_method(request.method)(**structure_only(request.method_options))
    return attach(model, method, request.plan(), request.train, device)


def _batches(
    request: Request, model: nn.Module, examples: int, length: int, device: torch.device
) -> Iterator[dict[str, Tensor]]:
    for _ in range(request.train.accumulate):
        with device:
            batch = make_batch(request, model, examples, length)
        yield batch


def _count(handle: Handle, head: list[nn.Parameter]) -> dict[str, int]:
    adapter = [p for p in handle.parameters() if p.requires_grad]
    stored = [*handle.parameters(), *handle.buffers.values()]
    return {
        "total": sum(p.numel() for p in handle.model.parameters()),
        "adapter_trainable": sum(p.numel() for p in adapter),
        "head_trainable": sum(p.numel() for p in head),
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
    """Sees every operator: counts FLOPs by phase, and knows the kernels' scratch memory."""

    def __init__(self, target: Target) -> None:
        self.target, self.phase = target, "forward"
        self.on_addmm: Callable[[], None] = lambda: None
        self.restart()

    def restart(self) -> None:
        """Count from 0."""
        self.flops = {"forward": 0, "backward": 0}

    def __call__(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int:
        count = _COUNTERS.get(func._overloadpacket)
        if count is not None and self.phase in self.flops:
            self.flops[self.phase] += int(count(*args, **kwargs, out_val=out))
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
        self.observer.phase = name
        if name in self.missing and self.size:
            self.missing.remove(name)
            self.ledger.hold(self.size, "cublas::workspace")

    def _hold_lt(self) -> None:
        if self.observer.phase in self.without_lt:
            self.without_lt.remove(self.observer.phase)
            self.ledger.hold(scratch.LT_WORKSPACE, "cublaslt::workspace")
