"""What a training run is made of, where it stands, and what it found out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from harness.metering.clock import Clock
    from harness.metering.meter import Meter
    from harness.probe import Probe
    from harness.record import Compacted
    from harness.suite.settings import TrainSettings
    from harness.tasks.base import Task, TaskData
    from harness.training.batches import Encoded, TrainingOrder
    from harness.training.checkpoint import Checkpoints
    from methods.base import Handle, Plan


@dataclass
class Job:
    """All that one training run needs."""

    model: nn.Module
    handle: Handle
    plan: Plan
    head: list[nn.Parameter]
    task: Task
    data: TaskData
    order: TrainingOrder
    probe: Probe
    evaluations: dict[str, Encoded]
    settings: TrainSettings
    device: torch.device
    keep_best: bool
    meter: Meter
    clock: Clock
    flops: Callable[[], Any]
    progress: Callable[[dict[str, Any]], None]
    checkpoints: Checkpoints | None = None


@dataclass
class Result:
    """What a training run found out."""

    steps: int = 0
    final_loss: float = math.nan
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    trainable_sum: int = 0  # adapter parameters that a step updates, summed over steps
    resumed_at: list[int] = field(default_factory=list)
    compacted: Compacted | None = None


@dataclass
class State:
    """Where a run stands, beside its tensors.

    Attributes:
        names: every tensor that has trained so far, as the model calls it.
        frozen: those that froze, as they were called when the method was attached.
        best: score and tensors of the best epoch so far.
        loss_steps: steps in the sum of losses since someone last looked.
        phase_is_new: the next step begins a phase.
    """

    names: set[str]
    frozen: list[str] = field(default_factory=list)
    best: tuple[float, dict[str, Tensor]] | None = None
    loss_steps: int = 0
    phase_is_new: bool = True
