"""Examples to padded batches, in an order that depends on seed and epoch only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from harness.suite.settings import TrainSettings
    from harness.tasks.base import Example

# Length grouping sorts within chunks of this many batches, so epochs still differ in order.
GROUP = 50


@dataclass(frozen=True)
class Encoded:
    """Tokenised examples: one list of token ids (and segment ids) per example, and labels."""

    features: dict[str, list[list[int]]]
    labels: Tensor
    pad: dict[str, int]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each example."""
        return [len(ids) for ids in self.features["input_ids"]]

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Sequence[int], length: int | None = None) -> dict[str, Tensor]:
        """Pad the examples on the right to `length`, or to the longest; every tensor is (B, S)."""
        ids = self.features["input_ids"]
        longest = max(len(ids[i]) for i in indices)
        width = length or longest
        batch = {}
        for name, rows in self.features.items():
            padded = [rows[i] + [self.pad[name]] * (width - len(rows[i])) for i in indices]
            batch[name] = torch.tensor(padded)
        batch["labels"] = self.labels[list(indices)]
        return batch


def encode(
    tokenizer: Any, examples: Sequence[Example], max_length: int, regression: bool
) -> Encoded:
    """Tokenise texts or text pairs, cut to `max_length` tokens, without padding."""
    texts = [example.text for example in examples]
    pairs = [example.pair for example in examples]
    found = tokenizer(
        texts,
        [pair or "" for pair in pairs] if any(pair is not None for pair in pairs) else None,
        truncation=True,
        max_length=max_length,
        return_attention_mask=True,
    )
    names = [name for name in tokenizer.model_input_names if name in found]
    pad = {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": 0, "attention_mask": 0}
    dtype = torch.float32 if regression else torch.int64
    labels = torch.tensor([example.label for example in examples], dtype=dtype)
    return Encoded({name: found[name] for name in names}, labels, {n: pad[n] for n in names})


@dataclass(frozen=True)
class TrainingOrder:
    """Which examples every optimizer step sees."""

    data: Encoded
    settings: TrainSettings
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one pass over the data; the last one may be smaller."""
        return -(-len(self.data) // (self.settings.batch_size * self.settings.accumulate))

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the whole run."""
        full = self.steps_per_epoch * self.settings.epochs
        return min(full, self.settings.max_steps or full)

    @property
    def num_epochs(self) -> int:
        """Epochs that are begun."""
        return -(-self.num_steps // self.steps_per_epoch)

    @property
    def width(self) -> int | None:
        """Fixed padded length, or None for the longest of each batch."""
        return self.settings.max_length if self.settings.padding == "max" else None

    def epoch(self, epoch: int) -> list[list[list[int]]]:
        """Return the epoch's steps; a step is `accumulate` lists of example indices."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
        order = torch.randperm(len(self.data), generator=generator).tolist()
        size = self.settings.batch_size
        if self.settings.length_grouping:
            order = self._grouped(order)
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        if self.settings.length_grouping:
            mixed = torch.randperm(len(batches), generator=generator).tolist()
            batches = [batches[i] for i in mixed]
        k = self.settings.accumulate
        steps = [batches[i : i + k] for i in range(0, len(batches), k)]
        return steps[: self.num_steps - epoch * self.steps_per_epoch]

    def _grouped(self, order: list[int]) -> list[int]:
        lengths = self.data.lengths
        chunk = self.settings.batch_size * GROUP
        chunks = [order[i : i + chunk] for i in range(0, len(order), chunk)]
        return [i for part in chunks for i in sorted(part, key=lambda j: -lengths[j])]

    def shape(self, batch: Sequence[int]) -> tuple[int, int]:
        """Return (examples, padded length) of a batch without making it."""
        lengths = self.data.features["input_ids"]
        return len(batch), self.width or max(len(lengths[i]) for i in batch)

    def tensors(self, batch: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        """Make one batch on the device."""
        made = self.data.batch(batch, self.width)
        return {name: value.to(device, non_blocking=True) for name, value in made.items()}


def evaluation_batches(
    data: Encoded, size: int, width: int | None, device: torch.device
) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    """Yield (example indices, batch) over all examples; sorted by length to waste no padding."""
    lengths = data.lengths
    order = sorted(range(len(data)), key=lambda i: -lengths[i])
    for i in range(0, len(order), size):
        indices = order[i : i + size]
        batch = data.batch(indices, width)
        yield indices, {name: value.to(device) for name, value in batch.items()}
