"""What a forecast says: the schema of `--json`, of a record's forecast and of the cache."""

from __future__ import annotations

from operator import not_
from typing import Literal, get_args

from pydantic import Field

from harness.forecasting.run_time import RunTime
from harness.forecasting.step_time import MeanStep
from harness.part import Part
from harness.simulation.step_forecast import Hold, Need
from harness.timing.times import Times

Fit = Literal["fits", "tight", "does not fit"]
FITS: tuple[Fit, ...] = get_args(Fit)  # the best one first
Swept = Literal["batch", "length"]


class AtBatch(Part):
    """A cell on a card with another batch size; bytes."""

    batch: int
    fits: Fit
    allocated: int = Field(description="the most that any stage and activity needs")
    device: int
    margin: int
    stage: str = Field(description="the one that decides")
    decides: str = Field(description="the activity that needs the most")


class LargestBatch(Part):
    """Answers of `--max-batch`; None where no batch does."""

    fits: AtBatch | None = Field(description="the largest batch that fits")
    tight: AtBatch | None = Field(description="the largest that fits or is tight")
    all_rows: bool = Field(False, description="it is all there is: larger batches are the same")
    skipped: tuple[int, int] | None = Field(
        None, description="between these not every batch was tried"
    )


class AtValue(Part):
    """A cell on a card with one setting changed; bytes, None where there is no forecast."""

    value: int
    fits: Fit | None = None
    allocated: int | None = Field(None, description="the most that any activity of `stage` needs")
    reserved: int | None = Field(None, description="None on the CPU, too: nothing is cached there")
    device: int | None = None
    margin: int | None = None
    stage: str | None = Field(None, description="the one that decides")
    decides: str | None = Field(None, description="the activity that needs the most")
    examples: int | None = Field(None, description="in its largest batch: there are no more rows")
    step: MeanStep | None = Field(None, description="of the stage that a run begins with")
    error: str | None = None

    @property
    def needed(self) -> int | None:
        """Bytes that are reserved; on the CPU allocated."""
        return self.allocated if self.reserved is None else self.reserved


class Forecast(Part):
    """One cell on one card; the fields of `--json`. Bytes, counts, FLOPs, seconds."""

    cell: str
    method: str
    model: str
    task: str
    gpu: str
    stage: str
    steps: list[tuple[int, ...]] = Field(description="examples, padded length, target length")
    evaluation: tuple[int, ...] | None = Field(None, description="largest batch, as in steps")
    peak_allocated: int | None = None
    peak_reserved: int | None = Field(None, description="None on the CPU: nothing is cached there")
    peak_expandable: int | None = None
    at_rest: int | None = None
    needs: dict[str, Need] = Field(
        default_factory=dict, description="of training, evaluation and probe"
    )
    decides: str | None = Field(None, description="the activity that needs the most")
    device: int | None = Field(
        None, description="reserved for all activities, and the CUDA context"
    )
    usable: int | None = Field(None, description="bytes that torch sees on the card")
    margin: int | None = Field(None, description="usable minus device; negative: too much")
    fits: Fit | None = None
    fits_expandable: Fit | None = Field(None, description="with expandable segments")
    lacks: list[str] = Field(
        default_factory=list, description="what the settings want and the card does not have"
    )
    split: dict[str, int] = Field(default_factory=dict)
    peaks: dict[str, int] = Field(
        default_factory=dict, description="largest sum of live tensors in each part of the step"
    )
    modules: dict[str, int] = Field(default_factory=dict, description="bytes at the peak, by place")
    saved_activations: int | None = None
    adapter_trainable: int | None = None
    head_trainable: int | None = None
    adapter_stored: int | None = None
    total_parameters: int | None = None
    flops_forward: int | None = None
    flops_step: int | None = None
    times: Times | None = Field(None, description="None: no datasheet of the card's speed is known")
    step_time: MeanStep | None = Field(
        None, description="the mean over the run's steps, as far as their sizes are known"
    )
    run_time: RunTime | None = Field(
        None, description="of all stages; None: no datasheet, or no number of steps is known"
    )
    seconds: float | None = Field(None, description="that the forecast took")
    max_batch: LargestBatch | None = None
    sweeps: dict[Swept, list[AtValue]] = Field(
        default_factory=dict,
        description="with one setting at other values, by the setting",
        exclude_if=lambda swept: not swept,
    )
    assumptions: list[str] = Field(default_factory=list)
    differs: list[str] = Field(
        default_factory=list,
        description="what a trainer's file says, and the forecast does not have",
        exclude_if=not_,
    )
    remarks: list[str] = Field(
        default_factory=list, description="what the method's options mean on this model"
    )
    kernels: list[str] = Field(default_factory=list, description="of sdpa, that the step took")
    holds: list[Hold] = Field(
        default_factory=list, description="bytes at the peak, by category, place and operator"
    )
    choices: dict[str, str] = Field(
        default_factory=dict, description="kernels, precision, versions"
    )
    error: str | None = None
