"""The forecast of one step, in a process of its own: fake step, replay, summary."""

from __future__ import annotations

import re
import resource
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import Field

from harness.part import Part
from harness.simulation.request import Request
from harness.timing.clock import Clock
from harness.timing.times import Times

if TYPE_CHECKING:
    from harness.metering.events import Event, Holder, LedgerReport
    from harness.simulation.built import Built
    from harness.timing.trace import Tracer

LAYER = re.compile(r"(?<=\.)\d+(?=\.|$)")
ALL_REDUCE = "c10d::allreduce_"
BETWEEN = " | "  # classes of one place, where its layers differ


class Logged(Protocol):
    """The log of steps, as `FakeRun` has it."""

    @property
    def events(self) -> list[Event]:
        """Since before the first step."""

    @property
    def since(self) -> int:
        """The number of the event with which the second step begins."""

    @property
    def begins(self) -> dict[str, int]:
        """The number of the event with which each activity beside the steps begins."""

    @property
    def report(self) -> LedgerReport:
        """Of the second step and later ones."""


class Hold(Part):
    """What the modules of one place hold at the peak; layers are summed up under `*`."""

    category: str
    path: str
    op: str
    num_bytes: int
    num_blocks: int


class Need(Part):
    """What an activity of a run needs, in bytes.

    Attributes:
        allocated: at most, while it lasts.
        reserved, expandable: held by the caching allocator when it ends, of which nothing is given
            back in between; 0 on the CPU. The second with expandable segments.
    """

    allocated: int
    reserved: int
    expandable: int


class StepForecast(Part):
    """One step on fake tensors, of one kind of device; all in bytes.

    Attributes:
        peak_allocated: as torch counts it, from the second step on; `split` sums to it.
        peak_reserved: held by the caching allocator's replay, over all steps; 0 on the CPU.
        peak_expandable: the same with expandable segments.
        at_rest: alive after a step.
        peaks: largest sum of live tensors in forward, backward and optimizer.
        needs: of training and, where the request has them, of evaluation and probe, in their order.
        passes: for a capacity below `reserved`, whether the replay of all of them gets by after it
            has given back what it caches.
        flops_forward, flops_step: of one optimizer step.
        attention: as the settings have it, with the model's own in place of `auto`.
        kernels: that sdpa took.
        num_probe: training examples that the method looks at beside training.
        holds, modules: bytes at the peak, by category, operator and place in the model, or by place
            alone; all of them, the largest first.
        classes: of the modules at every place in the model: `module.Class`, several with a bar
            between them where the layers' differ.
    """

    peak_allocated: int
    peak_reserved: int
    peak_expandable: int
    num_segments: int
    at_rest: int
    saved_activations: int
    peak_mark: str
    split: dict[str, int]
    peaks: dict[str, int]
    parameters: dict[str, int]
    flops_forward: int
    flops_step: int
    holds: list[Hold]
    modules: dict[str, int]
    needs: dict[str, Need]
    classes: dict[str, str] = Field(default_factory=dict)
    passes: dict[int, bool] = Field(default_factory=dict)
    remarks: list[str] = Field(default_factory=list, description="as `Method.remarks` has them")
    attention: str = ""
    kernels: list[str] = Field(default_factory=list)
    num_probe: int = 0
    times: dict[str, Times] = Field(default_factory=dict, description="by the clock's key")
    seconds: float = 0.0
    host_peak: int = Field(0, description="resident bytes of the forecasting process, at most")

    @property
    def reserved(self) -> int:
        """The most that any activity needs; of tensors on the CPU, where nothing is cached."""
        return max(need.reserved or need.allocated for need in self.needs.values())

    @property
    def decides(self) -> str:
        """The activity that needs the most."""
        return max(self.needs, key=lambda name: self.needs[name].reserved or
                   self.needs[name].allocated)  # fmt: skip


def forecast(
    request: Request, capacities: tuple[int, ...] = (), clocks: tuple[Clock, ...] = ()
) -> StepForecast:
    """Run the request.

    Args:
        request: the step.
        capacities: what cards offer to the allocator, in bytes.
        clocks: what the step is timed on.

    Raises:
        UserError: it cannot be forecast, and why.
    """
    from harness.simulation.built import built, prepare_process

    began = time.perf_counter()
    prepare_process(request)
    with built(request) as one:
        return forecast_on(one, request, capacities, clocks, began)


def forecast_on(
    one: Built,
    request: Request,
    capacities: tuple[int, ...],
    clocks: tuple[Clock, ...],
    began: float | None = None,
) -> StepForecast:
    """Run the request on what was built for it.

    Args:
        one: built for it, or for a request that differs in shapes alone.
        request: the step.
        capacities: as `forecast` has them.
        clocks: likewise.
        began: what its seconds count from; None: from here.
    """
    from harness.simulation.fake import run_on
    from harness.timing.trace import Tracer

    began = time.perf_counter() if began is None else began
    tracer = Tracer() if clocks else None
    run = run_on(one, request, tracer)
    report = run.report
    figures: dict[str, Any] = {
        "peak_allocated": report.peak, "at_rest": report.at_rest, "split": report.split,
        "peak_reserved": 0, "peak_expandable": 0, "num_segments": 0,
        "needs": {
            name: Need(allocated=peak, reserved=0, expandable=0)
            for name, peak in {"training": report.peak, **run.beside}.items()
        },
    }  # fmt: skip
    if request.target.kind == "cuda":
        figures = replayed(run, capacities)
    return StepForecast(
        **figures,
        saved_activations=report.saved,
        peak_mark=report.peak_mark,
        peaks=report.peaks,
        parameters=run.parameters,
        flops_forward=run.flops_forward,
        flops_step=run.flops_step,
        holds=grouped(report.holders),
        modules=_modules(report.holders),
        classes=_classes(run.classes),
        remarks=list(run.remarks),
        attention=run.attention,
        kernels=list(run.kernels),
        num_probe=run.num_probe,
        times=times_on(tracer, clocks, request),
        seconds=time.perf_counter() - began,
        host_peak=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    )


def times_on(
    tracer: Tracer | None, clocks: tuple[Clock, ...], request: Request
) -> dict[str, Times]:
    """Return what a request's trace takes, by the clock's key."""
    from harness.timing.estimate import Timing

    if tracer is None:
        return {}
    train = request.train
    if train.devices > 1:  # it goes on beside backward, over whatever joins the devices
        tracer.unknown.add(ALL_REDUCE)
    timing = Timing(tracer, train.accumulate, tf32=train.dtypes.compute == "tf32")
    return {clock.key(): timing.on(clock) for clock in clocks}


def replayed(run: Logged, capacities: tuple[int, ...]) -> dict[str, Any]:
    """Replay the log through the caching allocator and return its figures.

    torch counts a whole block as allocated, also where the rest of a cached one was too small to
    be split off: this is what its figures have over the sum of tensors, `unsplit` in the split.
    """
    from harness.simulation.allocator import CachingAllocator, OutOfMemory, Replay

    plain, expandable = CachingAllocator(), CachingAllocator(expandable=True)
    starts = [run.since, *run.begins.values()]
    names = ["training", *run.begins]
    needs, training = {}, Replay()
    for allocator in (plain, expandable):
        allocator.replay(run.events[: run.since])
    for name, start, end in zip(names, starts, [*starts[1:], len(run.events)], strict=True):
        plain.figures.peak_allocated = plain.figures.allocated
        figures = plain.replay(run.events[start:end])
        pages = expandable.replay(run.events[start:end])
        needs[name] = Need(
            allocated=figures.peak_allocated,
            reserved=figures.peak_reserved,
            expandable=pages.peak_reserved,
        )
        if name == "training":
            training = replace(figures)
    passes = {}
    for capacity in capacities:
        if capacity < plain.figures.peak_reserved:
            try:
                CachingAllocator(capacity).replay(run.events)
                passes[capacity] = True
            except OutOfMemory:
                passes[capacity] = False
    unsplit = training.peak_allocated - run.report.peak
    return {
        "peak_allocated": training.peak_allocated,
        "at_rest": training.allocated,
        "split": {**run.report.split, "unsplit": unsplit},
        "peak_reserved": training.peak_reserved,
        "peak_expandable": needs["training"].expandable,
        "num_segments": training.num_segments,
        "needs": needs,
        "passes": passes,
    }


def _modules(holders: Iterable[Holder]) -> dict[str, int]:
    """Return the bytes of every place in the model, layers summed up, largest first."""
    sums: Counter[str] = Counter()
    for holder in holders:
        sums[LAYER.sub("*", holder.path)] += holder.num_bytes
    return dict(sums.most_common())


def _classes(classes: dict[str, str]) -> dict[str, str]:
    """Return the classes of every place; what lies outside of the model's modules has none."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for path, name in classes.items():
        if path:
            found[LAYER.sub("*", path)][name] = None
    return {place: BETWEEN.join(names) for place, names in found.items()}


def grouped(holders: Iterable[Holder]) -> list[Hold]:
    """Sum the holders over the layers of the model, largest first."""
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for holder in holders:
        key = (holder.category, LAYER.sub("*", holder.path), holder.op)
        sums[key][0] += holder.num_bytes
        sums[key][1] += holder.num_blocks
    holds = [
        Hold(category=category, path=path, op=op, num_bytes=size, num_blocks=count)
        for (category, path, op), (size, count) in sums.items()
    ]
    return sorted(holds, key=lambda hold: -hold.num_bytes)
