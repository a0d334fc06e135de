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

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from harness.errors import UserError
from harness.metering.declared import declared_tensors
from harness.metering.events import Event, LedgerReport, summarize
from harness.metering.launches import heard_by
from harness.metering.ledger import Ledger
from harness.models.attention import resolved
from harness.shapes import BatchShape
from harness.simulation.answers import KnownAnswers
from harness.simulation.built import Built, built, method_of
from harness.simulation.decoding import answer_batch
from harness.simulation.host import on_device
from harness.simulation.observer import Observer, Workspaces
from harness.simulation.quantized import assumed
from harness.simulation.request import Request, StandIn
from harness.simulation.target import Target
from harness.tasks.families import get_family
from harness.tasks.families.packing import sees_both
from harness.timing.trace import Tracer
from harness.training.attach import remarks_on
from harness.training.batches import Batch
from harness.training.evaluate import predict_batch
from harness.training.hollow_optimizers import outside
from harness.training.precision import autocast
from harness.training.state import TrainState
from methods import surgery

# Of one optimizer step: the first makes the gradients, those after the second are like it.
MOST_PASSES = 3


@dataclass(frozen=True)
class FakeRun:
    """The log of the steps and what it says.

    Attributes:
        events: everything since before the first step, for an allocator replay.
        since: number of the event with which the second step begins.
        report: of the second step and later ones.
        beside: largest sum of live tensors in what follows, by its name, in its order.
        begins: number of the event with which each of these begins.
        parameters: total, adapter_trainable, head_trainable, adapter_stored.
        remarks: what the method's options mean on this model, and what was assumed of values.
        flops_forward: of one optimizer step's forward passes; `flops_step` with backward.
        attention: as the settings have it, with the model's own in place of `auto`.
        kernels: that sdpa took.
        num_probe: examples that the method looks at.
        classes: `module.Class` of the model's modules, by their path.
    """

    events: list[Event]
    since: int
    report: LedgerReport
    beside: dict[str, int]
    begins: dict[str, int]
    parameters: dict[str, int]
    flops_forward: int
    flops_step: int
    remarks: tuple[str, ...] = ()
    attention: str = ""
    kernels: tuple[str, ...] = ()
    num_probe: int = 0
    classes: dict[str, str] = field(default_factory=dict)


def fake_run(
    request: Request, stand_in: StandIn | None = None, tracer: Tracer | None = None
) -> FakeRun:
    """Build everything without values and run the request's steps, at least two.

    Args:
        request: what to run.
        stand_in: None takes the request's, or else `meta` where it can do the work.
        tracer: is told of every operator from the second step on.

    Raises:
        UserError: the model or the method cannot be built like this, or code reads a value from a
            tensor at a place that is not known.
    """
    with built(request, stand_in) as one:
        return run_on(one, request, tracer)


def run_on(one: Built, request: Request, tracer: Tracer | None = None) -> FakeRun:
    """Run the request's steps on what was built for it, or for one that differs in shapes alone."""
    attention = resolved(request.train.attention, one.state.model)
    run = _observed(request, one.state, one.device, one.answers, tracer)
    classes = {path: _class(module) for path, module in one.state.model.named_modules()}
    return replace(run, attention=attention, kernels=tuple(sorted(one.kernels)), classes=classes)


def _observed(
    request: Request, state: TrainState, device: torch.device, answers: KnownAnswers,
    tracer: Tracer | None,
) -> FakeRun:  # fmt: skip
    """Run the steps under the ledger, and what a run does beside them."""
    target, handle = request.target, state.handle
    answers.assumed.update(get_family(request.family).assumed(state.model), assumed(request.train))
    steps = request.steps if len(request.steps) > 1 else request.steps * 2
    passes = min(request.train.accumulate, MOST_PASSES)
    observer = Observer(target)
    ledger = Ledger(
        declared_tensors(state.model, handle), optimizer=state.optimizer,
        rounding=target.rounding, device=device, model=state.model, observe=observer,
    )  # fmt: skip
    since, begins = 0, dict[str, int]()
    observer.tracer = tracer
    if tracer is not None:
        tracer.device = device.type
    with heard_by(observer.launched), ledger, _told_of_modules(tracer, target):
        watch = Workspaces(ledger, observer, target)
        for number, shape in enumerate(steps):
            if number == 1:
                since = len(ledger.events)
                observer.restart()
            if tracer is not None and number:
                tracer.begin(f"step {number}", passes * shape.examples, passes * shape.tokens)
            answers.padded, answers.packed = request.mask and shape.padded, shape.packed
            batches = _batches(request, state.model, shape, device, passes)
            state.step.run(number, batches, request.parts()[:passes], watch)
        if answers.packed and not answers.told_apart:
            raise UserError(f"train.padding = packed: {sees_both(state.model)}")
        until, observer.part = len(ledger.events), "beside"
        for name, act in _beside(request, state, device, answers):
            begins[name] = len(ledger.events)
            ledger.mark("forward")
            looked = request.evaluation if name == "evaluation" else request.probe
            if tracer is not None and looked is not None:
                tracer.begin(name, looked.examples, looked.tokens)
            act()
            ledger.mark("end")
    events, (since, until, *starts) = on_device(
        ledger.events, (since, until, *begins.values()), target
    )
    ends = [*starts, len(events)][1:]
    counted = passes * (len(steps) - 1)
    said = remarks_on(method_of(request), state.model, request.train, None)
    said += [*sorted(answers.assumed), *outside(state.optimizer)]
    return FakeRun(
        events=events,
        since=since,
        report=summarize(events[:until], since, top=10_000),
        beside={
            name: summarize(events[:end], start).peak
            for name, start, end in zip(begins, starts, ends, strict=True)
        },
        begins=dict(zip(begins, starts, strict=True)),
        parameters=_count(state),
        flops_forward=observer.flops["forward"] * request.train.accumulate // counted,
        flops_step=sum(observer.flops.values()) * request.train.accumulate // counted,
        remarks=tuple(said),
        num_probe=handle.num_probe,
    )


@contextmanager
def _told_of_modules(tracer: Tracer | None, target: Target) -> Iterator[None]:
    """Tell the tracer of a module's every call, on the CPU, where they take their share of time."""
    if tracer is None or target.kind != "cpu":
        yield
        return

    def note(*_: object) -> None:
        for activity in list(tracer.rows)[-1:]:  # the one that goes on
            called = tracer.modules.setdefault(activity, [])
            called.append(len(tracer.rows[activity]))

    hook = register_module_forward_pre_hook(note)
    try:
        yield
    finally:
        hook.remove()


def _beside(
    request: Request, state: TrainState, device: torch.device, answers: KnownAnswers
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield what a run does beside its steps, by name."""
    family = get_family(request.family)

    def batch_of(shape: BatchShape) -> Batch:
        answers.padded, answers.packed = request.mask and shape.padded, shape.packed
        with device:
            return request.hollow_batch(state.model, shape)

    def evaluate(shape: BatchShape) -> None:
        state.handle.evaluating(on=True)
        if request.generation is None:
            predict_batch(state.model, family, batch_of(shape), request.train, device)
        else:  # prompts have no labels
            answer_batch(request, state.model, shape, family.inputs(batch_of(shape)), device)
        state.handle.evaluating(on=False)

    def look(shape: BatchShape) -> None:
        with autocast(request.train.dtypes, device):
            state.handle.look([batch_of(shape)])

    if request.evaluation is not None:
        yield "evaluation", partial(evaluate, request.evaluation)
    if request.probe is not None and state.handle.num_probe:
        examples = min(request.probe.examples, state.handle.num_probe)
        yield "probe", partial(look, request.probe._replace(examples=examples))


def _batches(
    request: Request, model: nn.Module, shape: BatchShape, device: torch.device, passes: int
) -> Iterator[Batch]:
    for _ in range(passes):
        with device:
            batch = request.hollow_batch(model, shape)
        yield batch


def _class(module: nn.Module) -> str:
    """Name a module's class; a stand-in of this harness goes by the class it stands for."""
    kind = next(each for each in type(module).__mro__ if not each.__module__.startswith("harness."))
    return f"{kind.__module__}.{kind.__qualname__}"


def _count(state: TrainState) -> dict[str, int]:
    adapter = [p for p in state.handle.parameters() if p.requires_grad]
    stored = [*state.handle.parameters(), *state.handle.buffers.values()]
    return {
        "total": surgery.num_parameters(state.model),
        "adapter_trainable": sum(p.numel() for p in adapter),
        "head_trainable": sum(p.numel() for p in state.head),
        "adapter_stored": sum(t.numel() for t in stored if t.is_floating_point()),
    }
