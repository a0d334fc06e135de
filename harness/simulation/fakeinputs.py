"""Batches without values, one kind per family of tasks."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from harness.training.precision import weight_dtype

if TYPE_CHECKING:
    from harness.simulation.request import Request


def make_batch(request: Request, model: nn.Module, examples: int, length: int) -> dict[str, Tensor]:
    """Return a batch of (examples, length) token ids, or of images, with labels, as a task does."""

    def ids(*size: int) -> Tensor:
        return torch.empty(size, dtype=torch.int64)

    config: Any = model.config
    if request.family == "image":
        side = config.image_size
        dtype = weight_dtype(request.train.precision)  # no layer of a Swin casts them
        pixels = torch.empty((examples, config.num_channels, side, side), dtype=dtype)
        return {"pixel_values": pixels, "labels": ids(examples)}
    batch = {"input_ids": ids(examples, length)}
    if request.mask:
        batch["attention_mask"] = ids(examples, length)
    if _has_segments(model):
        batch["token_type_ids"] = ids(examples, length)
    if request.family == "question_answering":
        return {**batch, "start_positions": ids(examples), "end_positions": ids(examples)}
    if request.family == "causal_lm":
        return {**batch, "labels": ids(examples, length)}
    if request.family == "seq2seq":
        return {**batch, "labels": ids(examples, request.target_length or length)}
    if request.family == "regression":
        return {**batch, "labels": torch.empty(examples)}
    return {**batch, "labels": ids(examples)}


def _has_segments(model: nn.Module) -> bool:
    """Tell whether the model's tokenizer would make segment ids: BERT's and DeBERTa's do."""
    config: Any = model.config
    takes = "token_type_ids" in inspect.signature(model.forward).parameters
    return takes and config.model_type in {"bert", "deberta", "deberta-v2"}
