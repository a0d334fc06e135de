"""Examples to batches: in training order, for evaluation, and the probe."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness.models.attention import FLASH

if TYPE_CHECKING:
    from harness.shapes import BatchShape
    from harness.suite.settings import TrainSettings
    from harness.tasks.families.base import Encoded, Family

# Length grouping sorts within chunks of this many batches, so epochs still differ in order.
GROUP = 50
Batch = dict[str, Tensor]


def width_of(settings: TrainSettings) -> int | None:
    """Return the fixed padded length, or None for the longest of each batch."""
    return settings.max_length if settings.padding == "max" else None


def encode_training(
    family: Family, preparer: Any, rows: Sequence[Any], settings: TrainSettings
) -> Encoded:
    """Turn rows into what batches of training are made of: examples, or packs of them.

    Raises:
        UserError: as `Family.encode`.
    """
    encoded = family.encode(preparer, rows, settings.max_length)
    if settings.padding != "packed":
        return encoded
    from harness.tasks.families.packing import Packed

    return Packed(encoded, settings.max_length, joined_rows(settings))  # type: ignore[arg-type]


def joined_rows(settings: TrainSettings) -> bool:
    """Tell whether the packs of a batch lie in one row: flash-attn's kernels want it so."""
    return settings.padding == "packed" and settings.attention == FLASH


@dataclass(frozen=True)
class TrainingOrder:
    """Which examples every optimizer step sees: it depends on seed and epoch only.

    A batch is that of all ranks together, which are `settings.devices`: with N of them the steps
    are those of one process with the N-fold batch. Each takes its share of a batch.

    Attributes:
        rank: whose shares `own` returns, and `parts` and `largest` are of.
    """

    data: Encoded
    settings: TrainSettings
    seed: int
    rank: int = 0

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one pass over the data; the last one may be smaller."""
        return -(-len(self.data) // (self.settings.step_batch * self.settings.accumulate))

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the whole run."""
        full = self.steps_per_epoch * self.settings.epochs
        return min(full, self.settings.max_steps or full)

    @property
    def num_epochs(self) -> int:
        """Epochs that are begun."""
        return -(-self.num_steps // self.steps_per_epoch)

    def epoch(self, epoch: int) -> list[list[list[int]]]:
        """Return the epoch's steps; a step is `accumulate` lists of example indices."""
        generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
        order = torch.randperm(len(self.data), generator=generator).tolist()
        size = self.settings.step_batch
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
        chunk = self.settings.step_batch * GROUP
        chunks = [order[i : i + chunk] for i in range(0, len(order), chunk)]
        return [i for part in chunks for i in sorted(part, key=lambda j: -lengths[j])]

    def own(self, batches: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return this rank's share of each batch of a step.

        Every N-th example, so that with examples in the order of their lengths all ranks get
        batches of like lengths. Where there are fewer examples than ranks, a rank without one takes
        the first, which counts for nothing: all ranks take part in every step.
        """
        return [list(batch[self.rank :: self.settings.devices] or batch[:1]) for batch in batches]

    def parts(self, batches: Sequence[Sequence[int]]) -> list[float]:
        """Return for each batch of a step how many of its size the step is made of.

        Of several ranks it is that of its own share over the mean of all ranks: averaged over them,
        gradients and losses are those of the batches of all.
        """
        devices = self.settings.devices
        every = sum(self.data.terms(batch) for batch in batches)
        mine = [self.data.terms(batch[self.rank :: devices]) for batch in batches]
        if devices == 1:
            return [every / max(1, count) for count in mine]
        return [every / (devices * count) if count else math.inf for count in mine]

    def shape(self, batch: Sequence[int]) -> BatchShape:
        """Return the shape of a batch without making it."""
        return self.data.shape(batch, width_of(self.settings))

    def largest(self, batches: Sequence[Sequence[int]]) -> BatchShape:
        """Return the shape of this rank's largest batch of a step."""
        return max(map(self.shape, self.own(batches)), key=lambda shape: shape.tokens)

    def tensors(self, batch: Sequence[int], device: torch.device) -> Batch:
        """Make one batch on the device."""
        return _on(self.data.batch(batch, width_of(self.settings)), device, non_blocking=True)


def evaluation_batches(
    data: Encoded, settings: TrainSettings, device: torch.device, rank: int = 0
) -> Iterator[tuple[list[int], Batch]]:
    """Yield (example indices, batch) over a rank's examples; sorted by length to waste no padding.

    Ranks take the batches in turn; without several of them they are all.
    """
    for indices in evaluation_order(data, settings)[rank :: settings.devices]:
        yield indices, evaluation_batch(data, indices, settings, device)


def evaluation_batch(
    data: Encoded, indices: list[int], settings: TrainSettings, device: torch.device
) -> Batch:
    """Make one evaluation batch on the device."""
    return _on(data.batch(indices, width_of(settings)), device)


def largest_evaluation(
    data: Encoded, settings: TrainSettings, rank: int = 0
) -> tuple[list[int], BatchShape]:
    """Return the examples of a rank's evaluation batch with the longest ones, and its shape.

    A rank without a batch would have had the first rank's.
    """
    order = evaluation_order(data, settings)
    longest = (order[rank :: settings.devices] or order)[0]
    return longest, data.shape(longest, width_of(settings))


def evaluation_order(data: Encoded, settings: TrainSettings) -> list[list[int]]:
    """Return the examples of each evaluation batch, the longest first."""
    return _longest_first(range(len(data)), data.lengths, settings.evaluation_batch)


def _longest_first(examples: Iterable[int], lengths: Sequence[int], size: int) -> list[list[int]]:
    order = sorted(examples, key=lambda i: -lengths[i])
    return [order[i : i + size] for i in range(0, len(order), size)]


@dataclass(frozen=True)
class Probe:
    """Training examples that a method may look at between epochs: the same at every iteration.

    Attributes:
        order: of the run whose examples these are; its seed chooses them.
        count: examples; all of them where the run has fewer.
        device: where the batches go.
    """

    order: TrainingOrder
    count: int
    device: torch.device

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches with labels."""
        for indices in self.batches():
            yield self.order.tensors(indices, self.device)

    def batches(self, size: int | None = None) -> list[list[int]]:
        """Return the examples of each batch, the longest first, so that little is padded.

        `size` is that of a batch; None: an evaluation's.
        """
        generator = torch.Generator().manual_seed(self.order.seed * 100_003 + 50_021)
        lengths = self.order.data.lengths
        chosen = torch.randperm(len(lengths), generator=generator)[: self.count].tolist()
        return _longest_first(chosen, lengths, size or self.order.settings.evaluation_batch)


def _on(batch: Batch, device: torch.device, non_blocking: bool = False) -> Batch:
    return {name: value.to(device, non_blocking=non_blocking) for name, value in batch.items()}
