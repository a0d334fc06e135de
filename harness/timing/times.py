"""What is forecast of time: steps, evaluation and probe on one device."""

from __future__ import annotations

from pydantic import Field

from harness.part import Part


class StepTime(Part):
    """One activity: a whole optimizer step with all its accumulated passes, or a batch evaluated.

    Attributes:
        seconds: from its begin to its end on the device.
        host: what the host works on it, waiting not counted.
        device: what the device works on it, waiting not counted.
        parts: seconds of forward, backward and optimizer, where it has them; they sum to `seconds`.
        examples, tokens: of all its passes, padding counted.
    """

    seconds: float
    host: float
    device: float
    parts: dict[str, float] = Field(default_factory=dict)
    examples: int = 0
    tokens: int = 0


class Times(Part):
    """A request's activities on one clock.

    Attributes:
        steps: from the second one on, in their order.
        evaluation, probe: of one largest batch; None where the request has none.
        at_least: operators whose cost is not known: seconds are a lower bound then.
    """

    steps: list[StepTime]
    evaluation: StepTime | None = None
    probe: StepTime | None = None
    at_least: list[str] = Field(default_factory=list)
