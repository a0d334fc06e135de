"""Images with one class each. A bare shape so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from harness.tasks.families.base import Family

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from harness.shapes import BatchShape


class ImageClassification(Family):
    """One class of several for each image, of the one size that the model takes."""

    name: ClassVar[str] = "image"
    auto_class: ClassVar[str] = "AutoModelForImageClassification"
    smooths: ClassVar[bool] = True
    tokenizes: ClassVar[bool] = False
    shape_keys: ClassVar[frozenset[str]] = frozenset({"num_labels"})

    def set_head(self, config: Any, num_labels: int) -> None:
        """Set the number of classes and the kind of loss."""
        config.num_labels = num_labels
        config.problem_type = "single_label_classification"

    def hollow_batch(
        self, model: nn.Module, shape: BatchShape, *, mask: bool, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        """Return (B, C, H, W) pixels and (B,) labels; the shape's length says nothing here."""
        import torch

        from harness.tasks.families.text import hollow_ids

        config: Any = model.config
        size = config.image_size  # one side of a square, or height and width
        sides = (size, size) if isinstance(size, int) else tuple(size)
        # No layer of a Swin casts its pixels.
        pixels = torch.empty((shape.examples, config.num_channels, *sides), dtype=dtype)
        return {"pixel_values": pixels, "labels": hollow_ids(shape.examples)}

    def smoothed_loss(self, outputs: Any, inputs: Mapping[str, Tensor], smoothing: float) -> Tensor:
        """Return the cross-entropy over the classes, in float32."""
        from torch.nn import functional

        return functional.cross_entropy(
            outputs.logits.float(), inputs["labels"], label_smoothing=smoothing
        )
