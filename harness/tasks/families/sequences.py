"""Token sequences as padded batches: of decoders, of encoder-decoders, and prompts to answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from harness.shapes import BatchShape

IGNORED = -100  # the label of tokens that no loss is taken of


def padded(rows: Sequence[Sequence[int]], length: int, value: int, left: bool = False) -> Tensor:
    """Return the rows as one tensor (B, length), padded with `value` on one side."""
    fill = [[value] * (length - len(row)) for row in rows]
    pairs = zip(rows, fill, strict=True)
    return torch.tensor([[*pad, *row] if left else [*row, *pad] for row, pad in pairs])


@dataclass(frozen=True)
class _Inputs:
    """Token ids of inputs, and what batches of them have in common.

    Attributes:
        ids: of each example.
        pad: id that pads them; the attention mask says where it did.
        notes: what encoding did to the rows, in sentences for the record.
    """

    ids: list[list[int]]
    pad: int
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example's input."""
        return [len(ids) for ids in self.ids]

    def __len__(self) -> int:
        return len(self.ids)

    def shape(self, indices: Sequence[int], width: int | None = None) -> BatchShape:
        """Return the batch's shape without making it."""
        lengths = [len(self.ids[i]) for i in indices]
        length = width or max(lengths)
        return BatchShape(len(indices), length, padded=min(lengths) < length)

    def _inputs(
        self, indices: Sequence[int], width: int | None, left: bool = False
    ) -> dict[str, Tensor]:
        """Return (B, S) ids and attention mask."""
        length = self.shape(indices, width).length
        rows = [self.ids[i] for i in indices]
        mask = padded([[1] * len(row) for row in rows], length, 0, left)
        return {"input_ids": padded(rows, length, self.pad, left), "attention_mask": mask}

    def _sample(self, shape: BatchShape) -> dict[str, Tensor]:
        """Return the first example's tokens, over and over, without padding."""
        first = self.ids[0]
        row = (first * (shape.length // len(first) + 1))[: shape.length]
        ids = torch.tensor([row] * shape.examples)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@dataclass(frozen=True)
class Sequences(_Inputs):
    """Examples of a decoder: a token's label stands at its own place.

    Attributes:
        labels: of each example's tokens, `IGNORED` where no loss is taken.
    """

    labels: list[list[int]]

    def terms(self, indices: Sequence[int]) -> int:
        """Return the tokens that a loss is taken of: the first of an example is not predicted."""
        return sum(label != IGNORED for i in indices for label in self.labels[i][1:])

    def batch(self, indices: Sequence[int], width: int | None = None) -> dict[str, Tensor]:
        """Return (B, S) ids, attention mask and labels, padded on the right."""
        length = self.shape(indices, width).length
        labels = padded([self.labels[i] for i in indices], length, IGNORED)
        return {**self._inputs(indices, width), "labels": labels}

    def sample(self, shape: BatchShape) -> dict[str, Tensor]:
        """Return a batch of this shape, all of whose tokens are learned."""
        batch = self._sample(shape)
        return {**batch, "labels": batch["input_ids"]}


@dataclass(frozen=True)
class Pairs(_Inputs):
    """Examples of an encoder-decoder.

    Attributes:
        targets: token ids of the decoder's labels.
        target_width: what targets are padded to where inputs have a fixed width; None: to that.
    """

    targets: list[list[int]]
    target_width: int | None = None

    def shape(self, indices: Sequence[int], width: int | None = None) -> BatchShape:
        """Return the batch's shape without making it."""
        longest = max(len(self.targets[i]) for i in indices)
        target = longest if width is None else self.target_width or width
        return super().shape(indices, width)._replace(target_length=target)

    def terms(self, indices: Sequence[int]) -> int:
        """Return the tokens of the targets."""
        return sum(len(self.targets[i]) for i in indices)

    def batch(self, indices: Sequence[int], width: int | None = None) -> dict[str, Tensor]:
        """Return (B, S) ids and attention mask, and (B, T) labels, padded on the right."""
        target = self.shape(indices, width).target_length or 0
        labels = padded([self.targets[i] for i in indices], target, IGNORED)
        return {**self._inputs(indices, width), "labels": labels}

    def sample(self, shape: BatchShape) -> dict[str, Tensor]:
        """Return a batch of this shape, all of whose tokens are learned."""
        target = shape._replace(length=shape.target_length or shape.length)
        return {**self._sample(shape), "labels": self._sample(target)["input_ids"]}


@dataclass(frozen=True)
class Prompts(_Inputs):
    """Prompts, or sources, that responses are generated to.

    Attributes:
        references: the texts that each response is scored against.
        tokenizer: makes a text of what was generated.
        left: pad on the left, so that a decoder goes on right behind the prompt.
    """

    references: list[tuple[str, ...]]
    tokenizer: Any
    left: bool

    def terms(self, indices: Sequence[int]) -> int:
        """Return the number of prompts."""
        return len(indices)

    def batch(self, indices: Sequence[int], width: int | None = None) -> dict[str, Tensor]:
        """Return (B, S) ids and attention mask."""
        return self._inputs(indices, width, self.left)

    def sample(self, shape: BatchShape) -> dict[str, Tensor]:
        """Return a batch of this shape."""
        return self._sample(shape)

    def text(self, tokens: Tensor) -> str:
        """Return generated tokens (N,) as a text, up to the first end-of-text token."""
        ids = tokens.tolist()
        end = self.tokenizer.eos_token_id
        kept = ids[: ids.index(end)] if end in ids else ids
        text: str = self.tokenizer.decode(kept, skip_special_tokens=True)
        return text.strip()
