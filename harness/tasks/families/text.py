"""Texts as padded token ids: what the families of text models share."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import UserError
from harness.shapes import BatchShape


@dataclass(frozen=True)
class Tokens:
    """Tokenised examples: one list of token ids (and segment ids) per example, and labels.

    Attributes:
        features: by name of the model's input.
        labels: (examples, ...), class numbers or target values.
        pad: value that pads each feature.
    """

    features: dict[str, list[list[int]]]
    labels: Tensor
    pad: dict[str, int]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example."""
        return [len(ids) for ids in self.features["input_ids"]]

    def __len__(self) -> int:
        return len(self.labels)

    def shape(self, indices: Sequence[int], width: int | None = None) -> BatchShape:
        """Return the batch's shape without making it."""
        lengths = [len(self.features["input_ids"][i]) for i in indices]
        length = width or max(lengths)
        return BatchShape(len(indices), length, padded=min(lengths) < length)

    def terms(self, indices: Sequence[int]) -> int:
        """Return the number of examples: each has one label."""
        return len(indices)

    def batch(self, indices: Sequence[int], width: int | None = None) -> dict[str, Tensor]:
        """Pad the examples on the right to `width`, or to the longest; every tensor is (B, S)."""
        length = self.shape(indices, width).length
        batch = {}
        for name, rows in self.features.items():
            padded = [rows[i] + [self.pad[name]] * (length - len(rows[i])) for i in indices]
            batch[name] = torch.tensor(padded)
        batch["labels"] = self.labels[list(indices)]
        return batch

    def sample(self, shape: BatchShape) -> dict[str, Tensor]:
        """Return the shortest example so many times, cut or padded to the shape's length.

        A longer example loses tokens before its last one, which some models look for.
        """
        shortest = min(range(len(self)), key=lambda i: len(self.features["input_ids"][i]))
        length = shape.length
        width = max(length, len(self.features["input_ids"][shortest]))
        whole = self.batch([shortest] * shape.examples, width)
        kept = [*range(length - 1), width - 1]
        return {n: value[:, kept] if n in self.features else value for n, value in whole.items()}


def tokenise(
    tokenizer: Any, texts: Sequence[str], pairs: Sequence[str | None], max_length: int
) -> tuple[dict[str, list[list[int]]], dict[str, int]]:
    """Tokenise texts or text pairs, cut to `max_length` tokens, without padding.

    Returns:
        The features by name, and the value that pads each.

    Raises:
        UserError: a row has no tokens at all, which no model can take.
    """
    rows = tokenizer(
        list(texts),
        [pair or "" for pair in pairs] if any(pair is not None for pair in pairs) else None,
        truncation=True,
        max_length=max_length,
        return_attention_mask=True,
    )
    for number, ids in enumerate(rows["input_ids"]):
        if not ids:
            raise UserError(
                f"row {number + 1} of {len(texts)} (text {texts[number]!r}, pair "
                f"{pairs[number]!r}) has no tokens: the text is empty, and this tokenizer adds "
                "none of its own; take the row out"
            )
    names = [name for name in tokenizer.model_input_names if name in rows]
    pad = {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": 0, "attention_mask": 0}
    return {name: rows[name] for name in names}, {name: pad[name] for name in names}


def hollow_tokens(model: nn.Module, shape: BatchShape, mask: bool) -> dict[str, Tensor]:
    """Return token ids without values, and what a tokenizer makes beside them."""
    size = (shape.examples, shape.length)
    batch = {"input_ids": hollow_ids(*size)}
    if mask:
        batch["attention_mask"] = hollow_ids(*size)
    if _has_segments(model):
        batch["token_type_ids"] = hollow_ids(*size)
    return batch


def hollow_ids(*size: int) -> Tensor:
    """Return ids or class numbers without values."""
    return torch.empty(size, dtype=torch.int64)


# Model types whose tokenizers name segment ids among the model's inputs (transformers 5).
SEGMENTED = {
    "bert", "canine", "convbert", "deberta", "deberta-v2", "electra", "ernie", "fnet", "layoutlm",
    "markuplm", "megatron-bert", "mobilebert", "nomic_bert", "squeezebert",
}  # fmt: skip


def _has_segments(model: nn.Module) -> bool:
    """Tell whether the model's tokenizer would make segment ids."""
    config: Any = model.config
    takes = "token_type_ids" in inspect.signature(model.forward).parameters
    return takes and config.model_type in SEGMENTED
