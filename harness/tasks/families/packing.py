"""Whole examples behind one another in rows of one length, each with positions of its own.

Attention keeps the examples of a row apart: transformers sees by positions that begin anew where
one ends. A row's rest is filled with padding, which is one example more and has no labels.
"""

from __future__ import annotations

import bisect
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from harness.shapes import BatchShape
from harness.tasks.families.sequences import IGNORED, Sequences
from methods import surgery

# Kinds of layers that mix tokens by attention alone, as configs name them.
ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
LEAK = 0.01  # of the logits' norm: rounding is less, another text in view is more
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Packed:
    """Packs of examples, which stand where examples stood: a batch is a number of packs.

    Attributes:
        data: the examples.
        length: tokens of a pack.
        joined: a batch's packs are one row, as flash-attn's kernels want them; else each is one.
        packs: the examples of each pack, by number.
    """

    data: Sequences
    length: int
    joined: bool
    packs: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "packs", packs_of(self.data.lengths, self.length))

    def __len__(self) -> int:
        return len(self.packs)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each pack: all are full."""
        return [self.length] * len(self)

    @property
    def notes(self) -> tuple[str, ...]:
        """What encoding and packing did to the rows, in sentences."""
        room = self.length * len(self)
        told = (
            f"{len(self.data):,} examples in {len(self):,} packs of {self.length} tokens, "
            f"{1 - sum(self.data.lengths) / room:.1%} of them padding"
        )
        return (*self.data.notes, told)

    def shape(self, indices: Sequence[int], width: int | None = None) -> BatchShape:
        """Return the batch's shape without making it: as if each pack were the fullest."""
        return packed_shape(len(indices), self.length, max(map(self._parts, self.packs)))

    def terms(self, indices: Sequence[int]) -> int:
        """Return the tokens that a loss is taken of."""
        return sum(self.data.terms(self.packs[i]) for i in indices)

    def batch(self, indices: Sequence[int], width: int | None = None) -> Batch:
        """Return (rows, S) ids, positions and labels; there is no attention mask."""
        rows = [self._row(self.packs[i]) for i in indices]
        batch = {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}
        return in_one_row(batch) if self.joined else batch

    def sample(self, shape: BatchShape) -> Batch:
        """Return a batch of this shape: one example a row, all of whose tokens are learned."""
        batch = self.data.sample(shape)
        del batch["attention_mask"]
        batch["position_ids"] = torch.arange(shape.length).repeat(shape.examples, 1)
        return in_one_row(batch) if self.joined else batch

    def _row(self, pack: Sequence[int]) -> dict[str, list[int]]:
        lengths = [len(self.data.ids[i]) for i in pack]
        rest = self.length - sum(lengths)
        ids = [token for i in pack for token in self.data.ids[i]]
        # The first token of an example is predicted from nothing.
        labels = [label for i in pack for label in (IGNORED, *self.data.labels[i][1:])]
        return {
            "input_ids": ids + [self.data.pad] * rest,
            "position_ids": [place for length in (*lengths, rest) for place in range(length)],
            "labels": labels + [IGNORED] * rest,
        }

    def _parts(self, pack: Sequence[int]) -> int:
        """Return how many examples are in a pack, its padding among them."""
        return len(pack) + (sum(len(self.data.ids[i]) for i in pack) < self.length)


def packs_of(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Return the examples of each pack: the longest first, each where it leaves the least room.

    That is best-fit decreasing, TRL's `bfd`.
    """
    packs: list[list[int]] = []
    left: list[tuple[int, int]] = []  # in each pack that is not full, and its number; sorted
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        place = bisect.bisect_left(left, (lengths[index], -1))
        if place < len(left):
            there, number = left.pop(place)
        else:
            there, number = room, len(packs)
            packs.append([])
        packs[number].append(index)
        if there > lengths[index]:
            bisect.insort(left, (there - lengths[index], number))
    return packs


def packed_shape(packs: int, length: int, most: int) -> BatchShape:
    """Return the shape of a batch of packs with at most so many examples each."""
    several = packs * most if most > 1 else None
    return BatchShape(packs, length, padded=False, packed=several)


def in_one_row(batch: Batch) -> Batch:
    """Put the rows of a batch behind one another."""
    return {name: tensor.reshape(1, -1) for name, tensor in batch.items()}


def refuse_unpackable(model: nn.Module) -> None:
    """Refuse a model that would let a row's examples see one another, as far as its code tells.

    Raises:
        ValueError: why.
    """
    _, transformer = surgery.transformer_of(model)
    told = f"train.padding = packed: {transformer.config.model_type}"
    config: Any = transformer.config.get_text_config()
    wrapped: Any = getattr(model, "active_peft_config", None)
    if wrapped is not None and wrapped.is_prompt_learning:
        raise ValueError(f"{told}: learned tokens stand in front of a row, not of each example")
    if "position_ids" not in inspect.signature(type(transformer).forward).parameters:
        raise ValueError(f"{told}: it takes no positions, which tell a row's examples apart")
    kinds = set(getattr(config, "layer_types", None) or ()) - ATTENTION
    stack = inspect.unwrap(type(transformer.base_model).forward).__code__.co_names
    if kinds or "create_recurrent_attention_mask" in stack:
        named = ", ".join(sorted(kinds)) or "recurrent"
        raise ValueError(f"{told}: its layers that are no attention ({named}) carry one example "
                         "on into the next")  # fmt: skip


@torch.no_grad()
def refuse_leaks(model: nn.Module, device: torch.device) -> None:
    """Refuse a model in which a row's second example depends on the first, by trying it.

    Raises:
        ValueError: it does.
    """
    ids = torch.tensor([[1, 2, 3, 4, 1, 2, 3], [4, 3, 2, 1, 1, 2, 3]], device=device)
    positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2]], device=device)
    was_training = model.training
    model.eval()
    one, other = (
        model(input_ids=row[None], position_ids=positions).logits[0, 4:].float() for row in ids
    )
    model.train(was_training)
    if (one - other).norm() > LEAK * one.norm():
        raise ValueError(f"train.padding = packed: {sees_both(model)}")


def sees_both(model: nn.Module) -> str:
    """Say that the model does not keep a row's examples apart."""
    kind = surgery.transformer_of(model)[1].config.model_type
    return f"{kind}: the examples of a row see one another"
