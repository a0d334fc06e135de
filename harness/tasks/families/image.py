"""Images with one class each."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.errors import UserError
from harness.tasks.families.base import Encoded, Family, Preparer

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from harness.shapes import BatchShape
    from harness.tasks.families.pixels import Images
    from harness.tasks.generation import Generation
    from harness.tasks.images.row import ImageExample


# Of images that a config says nothing of: those that ResNet and its kin were trained on, in colour.
USUAL_SIDE, PLANES = 224, 3
# Inputs that an image processor of the usual kind does not make.
BESIDE_PIXELS = {"input_ids", "spatial_shapes"}


class ImageClassification(Family):
    """One class of several for each image, of the one size that the model takes.

    Rows are `ImageExample`s. In training each image is mirrored with probability 0.5, drawn anew in
    every epoch; evaluations and a method's probe see the images as they are.
    """

    name: ClassVar[str] = "image"
    auto_class: ClassVar[str] = "AutoModelForImageClassification"
    smooths: ClassVar[bool] = True
    preparer: ClassVar[Preparer] = "image processor"
    shape_keys: ClassVar[frozenset[str]] = frozenset({"num_labels"})
    settings: ClassVar[tuple[str, ...]] = ("augmentation",)

    def __init__(self, augmentation: Literal["mirror", "none"] | None = None) -> None:
        self._mirrors = augmentation != "none"

    def set_head(self, config: Any, num_labels: int) -> None:
        """Set the number of classes and the kind of loss."""
        config.num_labels = num_labels
        config.problem_type = "single_label_classification"

    def encode(self, tokenizer: Any, rows: Sequence[ImageExample], max_length: int) -> Images:
        """Return the images with what makes pixels of them, the image processor; no length."""
        import torch

        from harness.tasks.families.pixels import Images

        notes = [str(tokenizer), *(["mirrored at random (assumed)"] if self._mirrors else [])]
        labels = torch.tensor([row.label for row in rows])
        return Images(rows, labels, tokenizer, notes=tuple(notes))

    def encode_evaluation(
        self,
        tokenizer: Any,
        rows: Sequence[ImageExample],
        max_length: int,
        generation: Generation | None,
    ) -> Images:
        """Return the same of images to evaluate on, of which nothing more is to be said."""
        return replace(self.encode(tokenizer, rows, max_length), notes=())

    def augmented(self, data: Any, seed: int, epoch: int) -> Images:
        """Mirror half of the images."""
        images: Images = data.mirrored_at_random(seed, epoch) if self._mirrors else data
        return images

    def hollow_batch(
        self, model: nn.Module, shape: BatchShape, *, mask: bool, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        """Return (B, C, H, W) pixels and (B,) labels; the shape's length says nothing here."""
        import torch

        from harness.tasks.families.text import hollow_ids

        config: Any = model.config
        beside = BESIDE_PIXELS & set(inspect.signature(model.forward).parameters)
        if beside:
            raise UserError(
                f"models of type {config.model_type} take {beside.pop()} beside or in place of "
                "pixels, which the family image does not make"
            )
        # No layer of a Swin casts its pixels.
        pixels = torch.empty((shape.examples, *pixel_size(config)), dtype=dtype)
        return {"pixel_values": pixels, "labels": hollow_ids(shape.examples)}

    def assumed(self, model: nn.Module) -> list[str]:
        """Say which size images have where the config names none."""
        config: Any = model.config
        if getattr(_of_vision(config), "image_size", None):
            return []
        return [f"assumed: images of {USUAL_SIDE} x {USUAL_SIDE}, as the config names no size"]

    def smoothed_loss(self, outputs: Any, inputs: Mapping[str, Tensor], smoothing: float) -> Tensor:
        """Return the cross-entropy over the classes, in float32."""
        from torch.nn import functional

        return functional.cross_entropy(
            outputs.logits.float(), inputs["labels"], label_smoothing=smoothing
        )

    def predictions(self, kept: Sequence[Tensor], data: Encoded) -> NDArray[Any]:
        """Return logits (examples, labels)."""
        import torch

        return torch.stack(list(kept)).numpy()

    def references(self, data: Any) -> NDArray[Any]:
        """Return the labels (examples,)."""
        labels: NDArray[Any] = data.labels.numpy()
        return labels


def takes_images(config: Any) -> bool:
    """Tell whether a model of this config takes pixels, as far as the config says it."""
    return any(hasattr(_of_vision(config), name) for name in ("image_size", "num_channels"))


def pixel_size(config: Any) -> tuple[int, int, int]:
    """Return planes, height and width of the pixels that a model of this config takes.

    A model of convolutions takes any size, and many say none: then it is the usual one.
    """
    own = _of_vision(config)
    size = getattr(own, "image_size", None) or USUAL_SIDE
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    return getattr(own, "num_channels", None) or PLANES, height, width


def _of_vision(config: Any) -> Any:
    return getattr(config, "vision_config", None) or config
