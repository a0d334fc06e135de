"""What a forecast says: the schema of `--json`, of a record's forecast and of the cache."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.part import Part

Fit = Literal["fits", "tight", "does not fit"]


class Forecast(Part):
    """One cell on one card; the fields of `--json`. Bytes, counts, FLOPs, seconds."""

    cell: str
    method: str
    model: str
    task: str
    gpu: str
    stage: str
    steps: list[tuple[int, ...]] = Field(description="examples, padded length, target length")
    peak_allocated: int | None = None
    peak_reserved: int | None = None
    peak_expandable: int | None = None
    at_rest: int | None = None
    device: int | None = Field(None, description="reserved and the CUDA context")
    usable: int | None = Field(None, description="bytes that torch sees on the card")
    margin: int | None = Field(None, description="usable minus device; negative: too much")
    fits: Fit | None = None
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
    seconds: float | None = None
    max_batch: int | None = None
    assumptions: list[str] = Field(default_factory=list)
    choices: dict[str, str] = Field(
        default_factory=dict, description="kernels, precision, versions"
    )
    error: str | None = None
