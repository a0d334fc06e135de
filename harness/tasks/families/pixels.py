"""Images as pixels of the one size that a model takes, made batch by batch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from harness.shapes import BatchShape
from harness.tasks.images.row import ImageExample

MOST_THREADS = 8


@dataclass(frozen=True)
class Images:
    """Examples that are read, decoded and resized when a batch is made of them.

    Attributes:
        rows: of the task.
        labels: (examples,) class numbers.
        processor: of the model; its `pixels` makes an array of an image, `size` and `dtype` say
            which.
        mirrored: (examples,) which of them are mirrored left to right; None: none is.
        notes: what the record shall say of them.
    """

    rows: Sequence[ImageExample]
    labels: Tensor
    processor: Any
    mirrored: Tensor | None = None
    notes: tuple[str, ...] = ()

    @property
    def lengths(self) -> list[int]:
        """One each: no image is longer than another."""
        return [1] * len(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def shape(self, indices: Sequence[int], width: int | None = None) -> BatchShape:
        """Return the batch's shape, of which the length says nothing."""
        return BatchShape(len(indices), 1, padded=False)

    def terms(self, indices: Sequence[int]) -> int:
        """Return the number of examples: each has one label."""
        return len(indices)

    def batch(self, indices: Sequence[int], width: int | None = None) -> dict[str, Tensor]:
        """Return (B, C, H, W) pixels in the processor's dtype, and (B,) labels."""
        pixels = torch.empty((len(indices), *self.processor.size), dtype=self.processor.dtype)
        for row, array in enumerate(_threads().map(self._pixels, indices)):
            # The array's own memory is the host's; the batch alone goes to the model.
            pixels[row] = torch.from_numpy(array)
        return {"pixel_values": pixels, "labels": self.labels[list(indices)]}

    def sample(self, shape: BatchShape) -> dict[str, Tensor]:
        """Return as many black images of the first class."""
        size = (shape.examples, *self.processor.size)
        return {
            "pixel_values": torch.zeros(size, dtype=self.processor.dtype),
            "labels": torch.zeros(shape.examples, dtype=torch.int64),
        }

    def mirrored_at_random(self, seed: int, epoch: int) -> Images:
        """Return the examples with each mirrored or not, by seed, epoch and its own number."""
        generator = torch.Generator().manual_seed(seed * 100_003 + epoch + MIRRORING)
        draws = torch.rand(len(self), generator=generator)
        return replace(self, mirrored=draws < 0.5)

    def _pixels(self, index: int) -> Any:
        image = self.rows[index].stored.image()
        if self.mirrored is not None and bool(self.mirrored[index]):
            from PIL import ImageOps

            image = ImageOps.mirror(image)
        return self.processor.pixels(image)


MIRRORING = 70_001  # apart from the seeds of an epoch's order and of the probe


@cache
def _threads() -> ThreadPoolExecutor:
    """Return the threads of this process that decode: Pillow and NumPy let them run at once."""
    return ThreadPoolExecutor(min(MOST_THREADS, len(os.sched_getaffinity(0))))
