"""Folders of tiny models as others write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from tiny import build
from torch import Tensor, nn

from harness.models.load import load_model
from harness.models.spec import ModelSpec
from harness.tasks.families import get_family

WEIGHTS = "model.safetensors"
Tensors = dict[str, Tensor]


def load(folder: Path, family: str = "classification", **options: Any) -> nn.Module:
    """Load the folder's model as a cell does."""
    import torch

    spec = ModelSpec(path=str(folder), sha256=options.pop("sha256", None))
    defaults = {"num_labels": 2, "attention": "eager", "dtype": torch.float32, "seed": 0}
    return load_model(spec, family=get_family(family), **defaults | options)


def save_as(folder: Path, auto_class: str, name: str = "tiny-bert", **options: Any) -> Path:
    """Save the model of the catalogue with the head of an auto class, or of a class by its name."""
    import torch
    import transformers

    from harness.models.config import build_config

    torch.manual_seed(1)
    kind = getattr(transformers, auto_class)
    config = build_config(ModelSpec(config=name))
    model = kind.from_config(config) if auto_class.startswith("Auto") else kind(config)
    model.save_pretrained(folder, **options)
    return folder


def edit(folder: Path, change: Callable[[Tensors], object]) -> Path:
    """Change the tensors of a folder in place."""
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    copies = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    save_file(copies, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def set_json(file: Path, **values: Any) -> None:
    """Set keys of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def saved(folder: Path, **options: Any) -> Path:
    """A tiny BERT with a head for two classes."""
    build(labels=2).save_pretrained(folder, **options)
    return folder
