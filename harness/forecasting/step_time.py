"""The mean step of a stage of a run on one card."""

from __future__ import annotations

from pydantic import Field

from harness.forecasting.run_sizes import Sizes
from harness.part import Part
from harness.timing.bar import Bar, bar_of
from harness.timing.by_tokens import at_tokens
from harness.timing.clock import Clock
from harness.timing.times import Times


class MeanStep(Part):
    """An optimizer step with all its passes, over the sizes of the run's steps; seconds."""

    seconds: float = Field(description="mean")
    median: float = Field(description="of a step of median size")
    host: float = Field(description="the host's work, mean; it may wait beside")
    device: float = Field(description="the device's work, mean; it may wait beside")
    parts: dict[str, float] = Field(
        default_factory=dict, description="forward, backward, optimizer; they sum to `seconds`"
    )
    tokens: float = Field(description="of a mean step, padding and labels counted")
    examples: float = Field(description="of a mean step")
    tokens_per_second: float
    bar: Bar
    at_least: list[str] = Field(
        default_factory=list,
        description="operators of unknown cost: all seconds are lower bounds then",
    )


def mean_step(times: Times, clock: Clock, sizes: Sizes) -> MeanStep:
    """Return the mean over a run's steps, from the few that were timed.

    Args:
        times: at least one step's.
        clock: what they were timed on.
        sizes: of the run's steps.
    """
    total = sum(n for _, n in sizes.spread)
    each = [(at_tokens(times.steps, size), n / total) for size, n in sizes.spread]
    seconds, host, device, examples = (
        sum(getattr(step, name) * share for step, share in each)
        for name in ("seconds", "host", "device", "examples")
    )
    names = dict.fromkeys(name for step, _ in each for name in step.parts)
    return MeanStep(
        seconds=seconds,
        median=at_tokens(times.steps, sizes.median).seconds,
        host=host,
        device=device,
        parts={name: sum(step.parts[name] * share for step, share in each) for name in names},
        tokens=sizes.mean,
        examples=examples,
        tokens_per_second=sizes.mean / seconds if seconds else 0.0,
        bar=bar_of(host, device, clock),
        at_least=times.at_least,
    )
