"""The fixed set of training examples that a method may look at between epochs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from harness.training.batches import TrainingOrder


@dataclass(frozen=True)
class Probe:
    """Batches of `count` training examples, chosen by the seed: the same at every iteration.

    Attributes:
        order: of the run whose examples these are; also says how batches are padded.
        count: examples; all of them where the run has fewer.
        device: where the batches go.
    """

    order: TrainingOrder
    count: int
    device: torch.device

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield batches with labels, the longest examples first, so that little is padded."""
        generator = torch.Generator().manual_seed(self.order.seed * 100_003 + 50_021)
        lengths = self.order.data.lengths
        chosen = torch.randperm(len(lengths), generator=generator)[: self.count].tolist()
        chosen.sort(key=lambda i: -lengths[i])
        size = self.order.settings.eval_batch_size
        for start in range(0, len(chosen), size):
            yield self.order.tensors(chosen[start : start + size], self.device)
