"""What transformers' Trainer calls things: names of optimizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from methods.wording import nearest

if TYPE_CHECKING:
    from harness.recipes.recipe import Recipe

# `optim` -> training settings. The Trainer gives SGD no momentum.
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adamw_torch": {"optimizer": "adamw"},
    "adamw_torch_fused": {"optimizer": "adamw-fused"},
    "adamw_hf": {"optimizer": "adamw-plain"},
    "adamw_8bit": {"optimizer": "adamw-8bit"},
    "adamw_bnb_8bit": {"optimizer": "adamw-8bit"},
    "paged_adamw": {"optimizer": "adamw-paged"},
    "paged_adamw_32bit": {"optimizer": "adamw-paged"},
    "paged_adamw_8bit": {"optimizer": "adamw-paged-8bit"},
    "adamw_torch_8bit": {"optimizer": "adamw-torchao-8bit"},
    "adamw_torch_4bit": {"optimizer": "adamw-torchao-4bit"},
    "lion_32bit": {"optimizer": "lion"},
    "lion_8bit": {"optimizer": "lion-8bit"},
    "paged_lion_8bit": {"optimizer": "lion-paged-8bit"},
    "sgd": {"optimizer": "sgd", "momentum": 0.0},
    "adafactor": {"optimizer": "adafactor"},
    "galore_adamw": {"optimizer": "galore-adamw"},
    "apollo_adamw": {"optimizer": "apollo-adamw"},
}


def optimizer(
    recipe: Recipe, key: str, default: str, more: dict[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the settings of the optimizer that the key names; refuse one that nothing here is.

    Args:
        recipe: that names it.
        key: where.
        default: the trainer's own choice.
        more: names that the trainer has beside transformers'.
    """
    known = {**OPTIMIZERS, **(more or {})}
    name = recipe.word(key, default)
    if name in known:
        return dict(known[name])
    recipe.refuse(key, f"there is no such optimizer here; {nearest(name, known)}")
    return {}
