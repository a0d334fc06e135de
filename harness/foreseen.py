"""What a record keeps of what was foreseen before the run's first step. Bytes and seconds."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from harness.part import Part


class StepForecastTime(Part):
    """A forecast optimizer step, over the sizes of the run's steps; seconds."""

    mean: float
    median: float = Field(description="of a step of median size")
    host: float = Field(description="the host's work, mean")
    device: float = Field(description="the device's work, mean")
    error_bar: float = Field(description="fraction: how far the seconds may be off")
    at_least: list[str] = Field(
        default_factory=list, description="operators of unknown cost: seconds are lower bounds then"
    )


class RunForecastTime(Part):
    """Forecast seconds of the whole run, as `time` has them measured."""

    training: float
    evaluation: float | None = None
    probes: float = 0.0


class StageForecast(Part):
    """The forecast of one stage of the run's method, on the run's own device."""

    peak_allocated: int
    peak_reserved: int
    peak_evaluation: int | None = None
    peak_probe: int | None = None
    at_rest: int
    saved_activations: int
    split: dict[str, int]
    peaks: dict[str, int] = Field(
        description="peak in forward, backward and optimizer",
        validation_alias=AliasChoices("peaks", "phases"),  # its name until November 2026
    )
    step: StepForecastTime | None = Field(
        None,
        description="null: nothing is known of the device's speed",
        exclude_if=lambda value: value is None,
    )
    seconds: float = Field(description="that the forecast took")


class RunForecast(Part):
    """What was foreseen of the run before its first step."""

    target: str
    steps: list[tuple[int, ...]] = Field(description="examples, padded length, target length")
    stages: dict[str, StageForecast] = Field(default_factory=dict)
    clock: str | None = Field(
        None,
        description="what its seconds are of: the card, and whose constants of the host",
        exclude_if=lambda value: value is None,
    )
    time: RunForecastTime | None = Field(
        None, description="null: no stage has seconds", exclude_if=lambda value: value is None
    )
    error: str | None = Field(None, description="why there is none")
