"""Requests that differ in the shapes of their steps alone: built once, run in a fork each.

A fork has the model and the method as they were built, and nothing of another step: its forecast
is that of a process of its own, to the byte. A quarter of one of Llama-2-7B with LoRA is building.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.forecasting.pool import run_forked

if TYPE_CHECKING:
    from harness.simulation.request import Request
    from harness.timing.clock import Clock

# Of a request; the others are built.
OF_STEPS = ("steps", "evaluation", "probe", "mask")
MOST = 8  # of one build: whoever waits hears of them together


def forecast_alike(
    asked: Sequence[tuple[Request, tuple[int, ...], tuple[Clock, ...]]],
) -> list[Any]:
    """Forecast requests that are built alike; run it in a fork.

    Returns:
        Per request, a StepForecast, or the UserError or TaskFailed that it ended with.

    Raises:
        UserError: the model or the method cannot be built.
    """
    from harness.simulation.built import built, prepare_process
    from harness.simulation.step_forecast import forecast_on

    first = asked[0][0]
    prepare_process(first)
    answers: list[Any] = [None] * len(asked)
    with built(first) as one:
        if len(asked) == 1:  # this fork is its own
            return [forecast_on(one, *asked[0])]
        tasks = [(forecast_on, (one, *each)) for each in asked]
        for number, answer in run_forked(tasks, workers=1):
            answers[number] = answer
    return answers


def alike(requests: Sequence[Request], workers: int) -> list[list[int]]:
    """Return the numbers of the requests in groups that are built alike, enough for the workers."""
    most = min(MOST, -(-len(requests) // workers))
    groups: list[list[int]] = []
    open_: dict[str, list[int]] = {}
    for number, request in enumerate(requests):
        key = _what_is_built(request)
        if key not in open_ or len(open_[key]) == most:
            open_[key] = []
            groups.append(open_[key])
        open_[key].append(number)
    return groups


def _what_is_built(request: Request) -> str:
    from harness.simulation.request import structural

    content = request.model_dump(mode="json", exclude={*OF_STEPS, "train"})
    return json.dumps([content, structural(request.train)], sort_keys=True)
