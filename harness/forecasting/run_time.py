"""The time of a whole run on one card: its steps stage by stage, its evaluations, its probes."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from harness.forecasting.run_sizes import RunSizes, Sizes
from harness.part import Part
from harness.suite.plan import plan_of
from harness.timing.times import StepTime

if TYPE_CHECKING:
    from harness.forecasting.step_time import MeanStep
    from harness.suite.cell import Cell
    from harness.timing.clock import Clock
    from harness.timing.times import Times
    from methods.base import Course


class RunTime(Part):
    """Seconds of a run on one card; loading, metering and saving are not in it."""

    seconds: float = Field(description="of training, evaluation and probes")
    training: float = Field(description="all steps, each as long as its stage's")
    evaluation: float | None = Field(None, description="null: how much is evaluated is not known")
    probes: float = Field(0.0, description="at most: a look before the run and after each epoch")
    steps: int
    fastest: float = Field(description="training, were all its steps those of the fastest stage")
    slowest: float = Field(description="training, were all its steps those of the slowest stage")
    error_bar: float = Field(description="fraction: how far `seconds` may be off, by its steps")
    energy: float | None = Field(None, description="joules at most: the card's power all the time")
    at_least: list[str] = Field(
        default_factory=list, description="operators of unknown cost: seconds are lower bounds then"
    )
    assumed: list[str] = Field(default_factory=list, description="of what the data decide")


class TimedStage(NamedTuple):
    """A stage of a run's method.

    Attributes:
        fraction: as `Stage` has it.
        step: its mean step.
        times: that of which it is the mean, with evaluation and probe.
        num_probe: training examples that the method looks at.
    """

    fraction: float
    step: MeanStep
    times: Times
    num_probe: int = 0


def run_time(
    cell: Cell, clock: Clock, sizes: RunSizes, stages: Sequence[TimedStage]
) -> RunTime | None:
    """Return the time of a cell's run; None: nobody knows how many steps it has.

    Args:
        cell: it.
        clock: what its stages were timed on.
        sizes: of what it does.
        stages: all of its method's, the one that it starts in first.

    Raises:
        ValueError: the run is too short for its method.
    """
    count = sizes.steps.count
    if count is None:
        return None
    plan = plan_of(
        cell.train, num_steps=count, num_epochs=min(sizes.epochs, count),
        steps_per_epoch=sizes.steps_per_epoch, seed=cell.seed, keep_best=cell.keep_best,
        uncut_epochs=cell.train.epochs if sizes.steps_per_epoch else None,
    )  # fmt: skip
    course = cell.configured_method.course(plan)
    steps, first = [stage.step for stage in stages], stages[0]
    training = count * _mean(course, [(each.fraction, each.step.seconds) for each in stages])
    evaluation = _evaluation(first.times.evaluation, sizes.evaluations)
    probes = _probes(first.times.probe, first.num_probe, sizes)
    seconds = training + (evaluation or 0.0) + probes
    return RunTime(
        seconds=seconds,
        training=training,
        evaluation=evaluation,
        probes=probes,
        steps=count,
        fastest=count * min(step.seconds for step in steps),
        slowest=count * max(step.seconds for step in steps),
        error_bar=max(step.bar.absolute for step in steps),
        energy=clock.sheet.power * seconds if clock.sheet and clock.sheet.power else None,
        at_least=list(dict.fromkeys(name for step in steps for name in step.at_least)),
        assumed=[course.assumed] if course.assumed and len(stages) > 1 else [],
    )


def _mean(course: Course, known: Sequence[tuple[float, float]]) -> float:
    """Return the mean seconds of a step over the course, on lines between the known stages."""
    line = sorted(known)

    def at(fraction: float) -> float:
        below = [point for point in line if point[0] <= fraction] or line[:1]
        above = [point for point in line if point[0] >= fraction] or line[-1:]
        (x0, y0), (x1, y1) = below[-1], above[0]
        return y0 if x0 == x1 else y0 + (y1 - y0) * (fraction - x0) / (x1 - x0)

    return sum(map(at, course.fractions)) / len(course.fractions)


def _evaluation(largest: StepTime | None, sizes: Sizes | None) -> float | None:
    """Return the seconds of all evaluated batches: the device's grow with their tokens."""
    if largest is None or sizes is None:
        return None
    each = (
        n * max(largest.host, largest.seconds * min(1.0, tokens / largest.tokens))
        for tokens, n in sizes.spread
    )
    return sum(each)


def _probes(largest: StepTime | None, num_probe: int, sizes: RunSizes) -> float:
    if largest is None or not num_probe:
        return 0.0
    examples = min(num_probe, sizes.rows or num_probe)
    return (sizes.epochs + 1) * ceil(examples / largest.examples) * largest.seconds
