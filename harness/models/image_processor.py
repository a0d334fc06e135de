"""A model's image processor: what makes pixels of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.models.config import build_config
from harness.models.files import model_folder
from harness.tasks.families.image import pixel_size, takes_images
from harness.tasks.images.stored import MODE, pillow_image
from harness.untrusted import WRONG, said

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from harness.models.spec import ModelSpec

# Of a config without weights: the values of ViT's checkpoints.
MEAN = STD = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class ImageProcessor:
    """A processor of transformers with what the model takes.

    Attributes:
        inner: of transformers, on Pillow: torchvision's makes other pixels, and need not be there.
        size: planes, height and width of its pixels.
        dtype: of the pixels, the weights' own.
        assumed: it is not the checkpoint's, but made from the config.
    """

    inner: Any
    size: tuple[int, int, int]
    dtype: torch.dtype
    assumed: bool = False

    def pixels(self, image: Any) -> Any:
        """Return an array (C, H, W) in float32 of a Pillow image in RGB."""
        return self.inner(images=[image], return_tensors="np")["pixel_values"][0]

    def save_pretrained(self, folder: Path) -> None:
        """Write it beside a model, as transformers reads it."""
        self.inner.save_pretrained(folder)

    def __str__(self) -> str:
        values = self.inner.to_dict()
        mean, std = (_same(values.get(name)) for name in ("image_mean", "image_std"))
        made = " (assumed: made from the config)" if self.assumed else ""
        _, height, width = self.size
        return f"images of {height} x {width}, mean {mean}, standard deviation {std}{made}"


def load_image_processor(spec: ModelSpec, dtype: torch.dtype) -> ImageProcessor:
    """Load the model's image processor; a config-only model gets one of its config's size.

    Raises:
        UserError: Pillow is not installed, the source has no image processor, or one that makes
            other pixels than the model takes.
    """
    pillow_image()
    config = build_config(spec)
    if not takes_images(config):
        raise UserError(f"model {spec.name}: models of type {config.model_type} take no images")
    size, assumed = pixel_size(config), bool(spec.config)
    inner = _made(size) if assumed else _loaded(spec)
    processor = ImageProcessor(inner, size, dtype, assumed)
    # Not square, so that a processor that keeps proportions shows itself.
    made = processor.pixels(pillow_image().new(MODE, (size[2] + 7, size[1] + 3))).shape
    if tuple(made) != size:
        raise UserError(
            f"model {spec.name}: its image processor makes pixels of {_by(made)}, and the model "
            f"takes {_by(size)}: correct size or crop_size in preprocessor_config.json"
        )
    return processor


def _loaded(spec: ModelSpec) -> Any:
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(
            model_folder(spec), backend="pil", local_files_only=True, trust_remote_code=False
        )
    except (*WRONG, ImportError) as error:
        raise UserError(
            f"model {spec.name}: no image processor (preprocessor_config.json): {said(error)}"
        ) from None


def _made(size: tuple[int, int, int]) -> Any:
    from transformers import ViTImageProcessorPil

    _, height, width = size
    return ViTImageProcessorPil(
        size={"height": height, "width": width}, image_mean=list(MEAN), image_std=list(STD)
    )


def _by(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))


def _same(values: Any) -> str:
    """Return the numbers of the planes, one where they are alike."""
    numbers = list(values) if isinstance(values, list | tuple) else [values]
    return " ".join(f"{number:g}" for number in dict.fromkeys(numbers) if number is not None)
