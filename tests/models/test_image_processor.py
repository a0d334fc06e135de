"""A model's image processor: the checkpoint's own, or one made from the config and said to be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import build

from harness.errors import UserError
from harness.models.check import check_model
from harness.models.image_processor import load_image_processor
from harness.models.spec import ModelSpec

RED = Image.new("RGB", (50, 40), (255, 0, 51))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A tiny Swin with the values of Swin's checkpoints, but for the size."""
    folder = tmp_path / "swin"
    build("tiny-swin", head="image").save_pretrained(folder)  # type: ignore[operator]
    values = {
        "feature_extractor_type": "ViTFeatureExtractor", "do_normalize": True, "do_resize": True,
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3,
        "size": 32,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return folder


def change(folder: Path, **values: object) -> None:
    """Set values of the processor's file; None takes one out."""
    file = folder / "preprocessor_config.json"
    merged = {**json.loads(file.read_text()), **values}
    file.write_text(json.dumps({name: v for name, v in merged.items() if v is not None}))


@pytest.mark.parametrize("typed", [True, False])
def test_the_checkpoints_own_values(saved: Path, typed: bool) -> None:
    if not typed:  # the model type tells
        change(saved, feature_extractor_type=None)
    processor = load_image_processor(ModelSpec(path=str(saved)), torch.float32)
    pixels = processor.pixels(RED)
    assert pixels.shape == (3, 32, 32) == processor.size
    assert pixels.dtype == np.float32
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    assert pixels[:, 5, 5] == pytest.approx(expected, rel=1e-5)
    assert str(processor) == (
        "images of 32 x 32, mean 0.485 0.456 0.406, standard deviation 0.229 0.224 0.225"
    )


def test_a_config_gets_one_that_is_said_to_be_assumed() -> None:
    processor = load_image_processor(ModelSpec(config="tiny-vit"), torch.bfloat16)
    assert processor.pixels(RED)[:, 0, 0] == pytest.approx([1, -1, -0.6])
    assert processor.dtype == torch.bfloat16
    assert str(processor) == (
        "images of 32 x 32, mean 0.5, standard deviation 0.5 (assumed: made from the config)"
    )


def test_what_a_folder_lacks(saved: Path) -> None:
    spec = ModelSpec(path=str(saved))
    check_model(spec, weights=True, image_processor=True)
    change(saved, size={"shortest_edge": 32})
    with pytest.raises(UserError, match=r"makes pixels of 3 x 32 x 35?, and the .* 3 x 32 x 32"):
        load_image_processor(spec, torch.float32)
    change(saved, size={"height": 16, "width": 16})
    with pytest.raises(UserError, match=r"makes pixels of 3 x 16 x 16.*preprocessor_config.json"):
        load_image_processor(spec, torch.float32)
    (saved / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"no image processor \(preprocessor_config.json\)"):
        load_image_processor(spec, torch.float32)
    with pytest.raises(UserError, match=r"no preprocessor_config.json in .*save_pretrained"):
        check_model(spec, weights=True, image_processor=True)


def test_a_model_of_texts_takes_no_images() -> None:
    with pytest.raises(UserError, match="tiny-bert: models of type bert take no images"):
        load_image_processor(ModelSpec(config="tiny-bert"), torch.float32)
