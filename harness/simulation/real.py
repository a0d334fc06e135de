"""The step that a forecast describes, run for real on this machine's GPU."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from harness.metering.cuda import CudaMeter, CudaReading
from harness.metering.watch import NoWatch
from harness.tasks.families import get_family
from harness.training.attach import build_step
from harness.training.base import on_gpu, untrained
from harness.training.kernels import pinned_kernel
from harness.training.precision import set_matmul_mode
from methods import get_method

if TYPE_CHECKING:
    from harness.simulation.request import Request

# The step before these has what comes once: workspaces, the optimizer's state.
NUM_STEPS = 5


@dataclass(frozen=True)
class Measured:
    """What the allocator saw, and the median step in seconds.

    Attributes:
        peaks: allocated bytes at most in forward, backward and optimizer of one more step.
    """

    reading: CudaReading
    step_seconds: float
    peaks: dict[str, int]


@dataclass
class PartPeaks(NoWatch):
    """Notes the most that is allocated in each part of a step."""

    peaks: dict[str, int] = field(default_factory=dict)
    part: str | None = None

    def mark(self, name: str) -> None:
        """Read the peak of the part that ends, and forget it."""
        if self.part is not None:
            self.peaks[self.part] = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        self.part = None if name == "end" else name


def measure(request: Request, num_steps: int = NUM_STEPS) -> Measured:
    """Run the request's step on GPU 0, with random weights and empty inputs.

    What earlier work left in the process is given back first, the workspaces of its matrix products
    among it: kept, they would be segments of their own, where a fresh process has one of them in
    memory that the forward pass has cached. Of several step shapes the last one runs, which is the
    largest.
    """
    device, settings = torch.device("cuda", 0), request.train
    gc.collect()
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()
    set_matmul_mode(settings.dtypes)
    family = get_family(request.family)
    quantised = settings.dtypes.quantised
    with torch.device("cpu") if quantised else device:
        make = on_gpu if quantised else None
        model = untrained(request.model, family, request.num_labels, settings, make)
    method = get_method(request.method)(**request.method_options)
    state = build_step(model, method, request.plan(), settings, device, family, stage=request.stage)
    meter, seconds = CudaMeter(device), []
    with pinned_kernel(settings.attention):
        for number in range(1 + num_steps):
            if number == 1:
                meter.start_phase()
            torch.cuda.synchronize()
            began = time.perf_counter()
            batches = _batches(request, state.model, device)
            state.step.run(number, batches, request.parts(), NoWatch())
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
        reading, watch = meter.read(), PartPeaks()
        state.step.run(number + 1, _batches(request, state.model, device), request.parts(), watch)
    return Measured(reading, median(seconds[1:]), watch.peaks)


def _batches(
    request: Request, model: nn.Module, device: torch.device
) -> Iterator[dict[str, Tensor]]:
    for _ in range(request.train.accumulate):
        hollow = request.hollow_batch(model, request.steps[-1])
        batch = {name: torch.zeros_like(value, device=device) for name, value in hollow.items()}
        if "attention_mask" in batch:
            batch["attention_mask"][:, :-1] = 1  # one token of padding: a mask that must be used
        packed = request.steps[-1].packed
        if packed is not None:  # examples of one length
            places = torch.arange(batch["position_ids"].numel(), device=device)
            each = len(places) // packed
            batch["position_ids"] = (places % each).view_as(batch["position_ids"])
        yield batch
