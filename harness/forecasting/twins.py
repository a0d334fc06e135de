"""Logs of steps that nobody ran: of a deep model from two shallow twins.

A twin is the same model with two or three layers: a step of it takes a tenth of the time. Where all
layers are alike, and a method does the same to each, the log of the whole model follows from both
(`harness.simulation.depth`), and the allocator's replay of it is that of a forecast.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import UserError
from harness.forecasting.pool import TaskFailed, run_forked

if TYPE_CHECKING:
    from harness.simulation.log import Log
    from harness.simulation.request import Request
    from harness.timing.clock import Clock
    from harness.timing.times import Times

DEPTHS = (2, 3)
# Methods that do the same in every layer, while no option of theirs names layers.
UNIFORM = frozenset(
    {"full", "lora", "elora", "bitfit", "aflora", "houlsby", "pfeiffer", "sora", "adalora", "peft"}
)
NAMES_LAYERS = frozenset({"layers", "layers_to_transform", "layer_replication", "rank_pattern",
                          "alpha_pattern", "layers_pattern"})  # fmt: skip


class Traced(NamedTuple):
    """A run's log, and its times on the clock that was asked for."""

    log: Log
    times: Times | None


def trace(requests: Sequence[Request], clock: Clock | None, depth: int | None) -> list[Traced]:
    """Run requests that are built alike, each in a fork where there are several; run it in one.

    Args:
        requests: of one model and method.
        clock: what steps are timed on; None: they are not.
        depth: layers of the model; None: all of them.

    Raises:
        UserError, TaskFailed: one cannot be forecast, or its model has no twins.
    """
    from harness.models.config import of_depth
    from harness.simulation.built import built, prepare_process

    prepare_process(requests[0])
    found: dict[int, Traced] = {}
    with of_depth(depth) if depth else nullcontext(), built(requests[0]) as one:
        if len(requests) == 1:
            return [_trace(one, requests[0], clock)]
        tasks = [(_trace, (one, request, clock)) for request in requests]
        for number, answer in run_forked(tasks, workers=1):
            if isinstance(answer, Exception):
                raise answer
            found[number] = answer
    return [found[number] for number in range(len(requests))]


def _trace(one: Any, request: Request, clock: Clock | None) -> Traced:
    from harness.simulation.fake import run_on
    from harness.simulation.log import log_of
    from harness.simulation.step_forecast import times_on
    from harness.timing.trace import Tracer

    tracer = Tracer() if clock else None
    run = run_on(one, request, tracer)
    times = times_on(tracer, (clock,), request) if clock else {}
    return Traced(log_of(run), next(iter(times.values()), None))


def has_twins(request: Request) -> bool:
    """Tell whether the method does the same in all layers, as far as its options say."""
    named = NAMES_LAYERS & {name for name, value in request.method_options.items()
                            if value not in (None, "all", {})}  # fmt: skip
    return request.method in UNIFORM and not named


def whole(requests: Sequence[Request], clock: Clock | None) -> list[Traced]:
    """Return what `trace` does of the whole model, by way of twins where it has them.

    Raises:
        UserError, TaskFailed: a request cannot be forecast.
    """
    from harness.models.config import build_config
    from harness.simulation.depth import deepened

    first = requests[0]
    depth = getattr(build_config(first.model), "num_hidden_layers", 0)
    if has_twins(first) and depth > 2 * DEPTHS[-1]:
        [(_, twins)] = run_forked([(_twins, (requests, clock))], workers=1)
        if not isinstance(twins, Exception):
            pairs = list(zip(*twins, strict=True))
            logs = [deepened(one.log, other.log, DEPTHS[-1], depth) for one, other in pairs]
            if all(logs):
                return [
                    Traced(log, _drawn_out(one.times, other.times, depth - DEPTHS[-1]))
                    for log, (one, other) in zip(logs, pairs, strict=True)
                    if log
                ]
    [(_, answer)] = run_forked([(trace, (requests, clock, None))], workers=1)
    if isinstance(answer, UserError | TaskFailed):
        raise answer
    found: list[Traced] = answer
    return found


def _twins(requests: Sequence[Request], clock: Clock | None) -> list[list[Traced]]:
    """Trace both twins in one process: the second finds what torch has looked up for the first."""
    return [trace(requests, clock, layers) for layers in DEPTHS]


def _drawn_out(one: Times | None, other: Times | None, more: int) -> Times | None:
    """Return the times with so many layers more than the second has, which has one more."""
    if one is None or other is None:
        return None
    return combined([one, other], [-float(more), 1.0 + more])


def combined(times: Sequence[Times], weights: Sequence[float]) -> Times:
    """Return the weighted sums of times of runs that do the same."""
    first = times[0]
    steps = []
    for same in zip(*(each.steps for each in times), strict=True):
        sums = {
            name: sum(w * getattr(step, name) for w, step in zip(weights, same, strict=True))
            for name in ("seconds", "host", "device")
        }
        steps.append(same[0].model_copy(update={**sums, "parts": {}}))
    return first.model_copy(update={"steps": steps, "evaluation": None, "probe": None})
