"""Answers without values: transformers' own search, on prompts that say nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.models.positions import refuse_beyond
from harness.tasks.families import get_family
from harness.training.evaluate import predict_batch

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.shapes import BatchShape
    from harness.simulation.request import Request
    from harness.training.batches import Batch


def answer_batch(
    request: Request, model: nn.Module, shape: BatchShape, prompts: Batch, device: torch.device
) -> None:
    """Generate answers to prompts of this shape, all as long as they may be.

    `answers.py` says when the search goes on. A real one may end earlier, and then needs less.

    Raises:
        UserError: the model has no positions for prompts and answers.
    """
    from transformers.utils import logging

    family, generation = get_family(request.family), request.generation
    needed = family.positions(shape, generation)
    refuse_beyond(model, needed, request.model.name, generation)
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # it takes prompts without values for padded on the wrong side
    try:
        predict_batch(model, family, prompts, request.train, device, generation)
    finally:
        logging.set_verbosity(level)
