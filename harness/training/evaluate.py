"""Predictions of a model over an evaluation set, and their scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from harness.training.batches import Batch, evaluation_batch, evaluation_batches, largest_evaluation
from harness.training.precision import autocast

if TYPE_CHECKING:
    from harness.suite.settings import TrainSettings
    from harness.tasks.base import Task
    from harness.tasks.families.base import Encoded, Family
    from harness.training.setup import Setup


def evaluate_on(setup: Setup, name: str) -> dict[str, float]:
    """Return the scores of the run's model on the evaluation of that name: beside training."""
    data, settings, device = setup.evaluations[name], setup.settings, setup.device
    setup.handle.evaluating(on=True)
    with setup.clock.apart("metering"):
        longest, shape = largest_evaluation(data, settings)
        setup.meter.audit_evaluation(
            lambda: _predict(setup, data, longest), shape.tokens, setup.state.optimizer
        )
    with setup.clock.apart("evaluation"), setup.meter.evaluation():
        scores = evaluate(setup.model, setup.task, setup.family, data, settings, device)
    setup.handle.evaluating(on=False)
    return scores


def evaluate(
    model: nn.Module,
    task: Task,
    family: Family,
    data: Encoded,
    settings: TrainSettings,
    device: torch.device,
) -> dict[str, float]:
    """Return the task's metrics as fractions."""
    kept = predict(model, family, data, settings, device)
    scores = task.score(family.predictions(kept, data), family.references(data))
    return {metric: float(value) for metric, value in scores.items()}  # no scalars of numpy


def predict(
    model: nn.Module, family: Family, data: Encoded, settings: TrainSettings, device: torch.device
) -> list[Tensor]:
    """Return what the family keeps of each example, on the host, in the order of the data."""
    kept: dict[int, Tensor] = {}
    for indices, batch in evaluation_batches(data, settings, device):
        rows = predict_batch(model, family, batch, settings, device).cpu()
        kept |= zip(indices, rows, strict=True)
    return [kept[index] for index in range(len(data))]


def _predict(setup: Setup, data: Encoded, indices: list[int]) -> None:
    """Run one batch, as `predict` does, and drop its output."""
    batch = evaluation_batch(data, indices, setup.settings, setup.device)
    predict_batch(setup.model, setup.family, batch, setup.settings, setup.device)


@torch.no_grad()
def predict_batch(
    model: nn.Module, family: Family, batch: Batch, settings: TrainSettings, device: torch.device
) -> Tensor:
    """Return what the family keeps of one batch, on the device."""
    was_training = model.training
    model.eval()
    with autocast(settings.precision, device):
        rows = family.predict(model, family.inputs(batch))
    model.train(was_training)
    return rows
