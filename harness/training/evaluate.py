"""Predictions of a model over an evaluation set, and their scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from harness.training.batches import Encoded, evaluation_batches
from harness.training.precision import autocast

if TYPE_CHECKING:
    from harness.suite.settings import TrainSettings
    from harness.tasks.base import Task


@torch.no_grad()
def predict_longest(
    model: nn.Module, data: Encoded, settings: TrainSettings, device: torch.device
) -> None:
    """Run the batch with the longest examples, as `predict` does, and drop its output."""
    was_training = model.training
    model.eval()
    _, batch = next(_batches(data, settings, device))
    _logits(model, batch, settings, device)
    model.train(was_training)


@torch.no_grad()
def predict(
    model: nn.Module, data: Encoded, settings: TrainSettings, device: torch.device
) -> np.ndarray:
    """Return logits of shape (examples, labels), in the order of the data."""
    was_training = model.training
    model.eval()
    rows = [
        (indices, _logits(model, batch, settings, device).float().cpu())
        for indices, batch in _batches(data, settings, device)
    ]
    model.train(was_training)
    logits = torch.empty(len(data), *rows[0][1].shape[1:])
    for indices, values in rows:
        logits[indices] = values
    return logits.numpy()


Batches = Iterator[tuple[list[int], dict[str, torch.Tensor]]]


def _batches(data: Encoded, settings: TrainSettings, device: torch.device) -> Batches:
    width = settings.max_length if settings.padding == "max" else None
    return evaluation_batches(data, settings.eval_batch_size, width, device)


def _logits(
    model: nn.Module,
    batch: dict[str, torch.Tensor],
    settings: TrainSettings,
    device: torch.device,
) -> torch.Tensor:
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    with autocast(settings.precision, device):
        logits: torch.Tensor = model(**inputs).logits
    return logits


def evaluate(
    model: nn.Module, task: Task, data: Encoded, settings: TrainSettings, device: torch.device
) -> dict[str, float]:
    """Return the task's metrics as fractions."""
    predictions = predict(model, data, settings, device)
    return task.score(predictions, data.labels.numpy())
