"""Whose file it is that somebody takes for a suite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Keys that tell it, and by which name `--from` knows the trainer.
TELLING = {
    "base_model": "axolotl",
    "finetuning_type": "llamafactory",
    "checkpointer": "torchtune",
    "model_name_or_path": "trl",
    "per_device_train_batch_size": "transformers",
}


def whose(data: Mapping[str, Any]) -> str:
    """Return a line that names the trainer, to stand behind an error; empty where none is told."""
    key = next((key for key in TELLING if key in data), None)
    return f"\n       {key}: another trainer's file? --from {TELLING[key]}" if key else ""
