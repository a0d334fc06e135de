"""What a forecast says: the schema of `--json`, of a record's forecast and of the cache."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.record import Part

Verdict = Literal["fits", "tight", "does not fit"]


class Hold(Part):
    """What the modules of one place hold at the peak; layers are summed up under `*`."""

    category: str
    path: str
    op: str
    num_bytes: int
    num_blocks: int


class Outcome(Part):
    """One step on fake tensors, of one kind of device; all in bytes.

    Attributes:
        peak_allocated: as torch counts it, from the second step on; `split` sums to it.
        peak_reserved: held by the caching allocator's replay, over all steps; 0 on the CPU.
        peak_expandable: the same with expandable segments.
        at_rest: alive after a step.
        phases: largest sum of live tensors in forward, backward and optimizer.
        passes: for a capacity below `peak_reserved`, whether the replay gets by after it has
            given back what it caches.
        flops_forward, flops_step: of one optimizer step.
        modules: bytes at the peak by place in the model, the largest ones.
    """

    peak_allocated: int
    peak_reserved: int
    peak_expandable: int
    num_segments: int
    at_rest: int
    saved_activations: int
    peak_mark: str
    split: dict[str, int]
    phases: dict[str, int]
    parameters: dict[str, int]
    flops_forward: int
    flops_step: int
    holds: list[Hold]
    modules: dict[str, int]
    passes: dict[int, bool] = Field(default_factory=dict)
    seconds: float = 0.0
    host_peak: int = Field(0, description="resident bytes of the forecasting process, at most")


class Forecast(Part):
    """One cell on one card; the fields of `--json`. Bytes, counts, FLOPs, seconds."""

    cell: str
    method: str
    model: str
    task: str
    gpu: str
    stage: str
    steps: list[tuple[int, int]]
    peak_allocated: int | None = None
    peak_reserved: int | None = None
    peak_expandable: int | None = None
    at_rest: int | None = None
    device: int | None = Field(None, description="reserved and the CUDA context")
    usable: int | None = Field(None, description="bytes that torch sees on the card")
    margin: int | None = Field(None, description="usable minus device; negative: too much")
    fits: Verdict | None = None
    split: dict[str, int] = Field(default_factory=dict)
    phases: dict[str, int] = Field(default_factory=dict)
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
