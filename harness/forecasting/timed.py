"""Seconds in the entries of a forecast: of each stage's step, and of the run that they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.forecasting.run_sizes import RunSizes
from harness.forecasting.run_time import TimedStage, run_time
from harness.forecasting.step_time import mean_step

if TYPE_CHECKING:
    from harness.forecasting.result import Forecast
    from harness.simulation.step_forecast import StepForecast
    from harness.suite.cell import Cell
    from harness.timing.clock import Clock


def of_step(clock: Clock | None, sizes: RunSizes, answer: StepForecast) -> dict[str, Any]:
    """Return the time fields of an entry; none on a card without a clock, or where none was asked.

    Args:
        clock: the card's.
        sizes: of the run's steps.
        answer: the stage's.
    """
    times = answer.times.get(clock.key()) if clock else None
    if clock is None or times is None:
        return {}
    return {"times": times, "step_time": mean_step(times, clock, sizes.steps)}


def with_run(
    entries: Sequence[Forecast],
    cell: Cell,
    clock: Clock | None,
    sizes: RunSizes,
    fractions: Sequence[float],
    num_probe: int,
) -> list[Forecast]:
    """Return the entries of a cell's stages on one card, each with the time of the whole run.

    Args:
        entries: of all stages, the one that the run begins with first.
        cell: theirs.
        clock: the card's.
        sizes: of all that the run does.
        fractions: of the stages, as `Stage` has them.
        num_probe: examples that the method looks at.
    """
    timed = [
        TimedStage(fraction, entry.step_time, entry.times, num_probe)
        for fraction, entry in zip(fractions, entries, strict=True)
        if entry.step_time and entry.times
    ]
    if clock is None or len(timed) < len(entries):
        return list(entries)
    try:
        whole = run_time(cell, clock, sizes, timed)
    except ValueError as error:
        told = f"{cell.path}: no time of the whole run: {error}"
        return [e.model_copy(update={"assumptions": [*e.assumptions, told]}) for e in entries]
    return [entry.model_copy(update={"run_time": whole}) for entry in entries]
