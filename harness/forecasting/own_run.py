"""The forecast that a cell's record carries, made in a fork from before the cell's first tensor."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.forecasting.cards import canonical, this_cpu
from harness.forecasting.named import card_named
from harness.forecasting.pool import answer_and_exit, end_with_parent, preload
from harness.forecasting.requests import (
    NUM_STEPS,
    StepShapes,
    data_shapes,
    requests_of,
    shapes_of_run,
)
from harness.forecasting.run_sizes import RunSizes, times_evaluated
from harness.forecasting.run_time import TimedStage, run_time
from harness.forecasting.step_time import mean_step
from harness.foreseen import RunForecast, RunForecastTime, StageForecast, StepForecastTime
from harness.simulation.step_forecast import StepForecast
from harness.simulation.target import CPU, Target

if TYPE_CHECKING:
    import torch

    from harness.forecasting.cards import Card
    from harness.simulation.request import Request
    from harness.suite.cell import Cell
    from harness.timing.clock import Clock
    from harness.training.setup import Setup


class OwnForecast:
    """A process that waits for the run's shapes, forecasts them and ends.

    It is forked before anything computes: later there are threads, and a GPU, that no fork
    survives. It ends with this process, whose end of the pipe then closes.
    """

    def __init__(self) -> None:
        preload(whole=True)
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._child = context.Process(target=_serve, args=(theirs, self._pipe), daemon=True)
        self._child.start()
        theirs.close()

    def of(self, cell: Cell, setup: Setup) -> RunForecast:
        """Return what the record holds: every stage's peak on this run's own device.

        A forecast that cannot be made is no reason to lose the run; the record then says why.
        """
        target = target_here(setup.device)
        names = setup.data.scored(cell.scores_epochs)
        evaluations = {name: setup.evaluations[name] for name in names}
        num_steps = 2 if target.kind == "cpu" else NUM_STEPS
        times = times_evaluated(setup.data, cell.scores_epochs, setup.order.num_epochs)
        shapes = shapes_of_run(setup.order, evaluations, setup.probe, num_steps, times)
        return self._of_shapes(cell, setup.device, shapes)

    def without_setup(self, cell: Cell) -> RunForecast:
        """Return the same for a run that ended before it was set up; its data is read once more.

        Its method has told nobody how many examples it looks at: here they are all of them.
        """
        import torch

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            return self._of_shapes(cell, device, data_shapes(cell))
        except (UserError, MemoryError) as error:  # without memory data may not be read either
            reason = str(error) or type(error).__name__
            return RunForecast(target=str(target_here(device)), steps=[], error=reason)

    def _of_shapes(self, cell: Cell, device: torch.device, shapes: StepShapes) -> RunForecast:
        target, clock = target_here(device), clock_here(device)
        forecast = RunForecast(target=str(target), steps=[shape.brief for shape in shapes.steps])
        try:
            requests = requests_of(cell, target, shapes)
            self._pipe.send((requests, clock))
            answer = self._pipe.recv()
        except UserError as error:
            return forecast.model_copy(update={"error": str(error)})
        except (EOFError, OSError):
            return forecast.model_copy(update={"error": "the forecasting process ended"})
        self._child.join()
        if isinstance(answer, Exception):
            return forecast.model_copy(update={"error": str(answer)})
        pairs = list(zip(requests, answer, strict=True))
        stages = {request.stage.name: _stage(step) for request, step in pairs}
        timed = _timed(cell, clock, shapes.run_sizes(cell.train), pairs, stages) if clock else {}
        return forecast.model_copy(update={"stages": stages, **timed})


def target_here(device: torch.device) -> Target:
    """Return the device that the run is on."""
    import torch

    if device.type != "cuda":
        return CPU
    return canonical(torch.cuda.get_device_capability(device))


def clock_here(device: torch.device) -> Clock | None:
    """Return what the run's steps are timed with; None: nothing is known of its device's speed."""
    import torch

    if device.type != "cuda":
        card: Card | None = this_cpu(torch.get_num_threads())
    else:
        here = torch.cuda.get_device_properties(device)
        card = card_named(here.name, here.total_memory)
    return card.clock if card else None


def _timed(
    cell: Cell,
    clock: Clock,
    sizes: RunSizes,
    answers: Sequence[tuple[Request, StepForecast]],
    stages: dict[str, StageForecast],
) -> dict[str, Any]:
    """Note each stage's seconds in it; return what the record has of the whole run."""
    timed = [
        TimedStage(request.stage.fraction, mean_step(times, clock, sizes.steps), times,
                   answer.num_probe)
        for request, answer in answers
        for times in [answer.times[clock.key()]]
    ]  # fmt: skip
    for stage, one in zip(stages.values(), timed, strict=True):
        step = one.step
        stage.step = StepForecastTime(
            mean=step.seconds, median=step.median, host=step.host, device=step.device,
            error_bar=step.bar.absolute, at_least=step.at_least,
        )  # fmt: skip
    try:
        whole = run_time(cell, clock, sizes, timed)
    except ValueError:  # too short for the method's schedule, which the run itself will say
        whole = None
    time = whole and RunForecastTime(
        training=whole.training, evaluation=whole.evaluation, probes=whole.probes
    )
    return {"clock": f"{clock.device}, {clock.machine.name}", "time": time}


def _stage(step: StepForecast) -> StageForecast:
    beside = {f"peak_{name}": need.allocated for name, need in step.needs.items()}
    beside.pop("peak_training")  # by its own name
    return StageForecast(**step.model_dump(include=set(StageForecast.model_fields)), **beside)


def _serve(pipe: Connection, other_end: Connection) -> None:
    other_end.close()
    # The cell's process only takes a note of it, and would then wait for this one for ever.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()
    try:
        requests: Sequence[Request]
        clock: Clock | None
        requests, clock = pipe.recv()
    except EOFError:  # the run ended before it had shapes
        os._exit(0)
    answer_and_exit(pipe, _forecast_all, (requests, clock))


def _forecast_all(requests: Sequence[Request], clock: Clock | None) -> list[StepForecast]:
    from harness.simulation.step_forecast import forecast

    clocks = (clock,) if clock else ()
    return [forecast(request, clocks=clocks) for request in requests]
