"""`use_liger_kernel`: what Liger replaces by itself in a model, as transformers asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.models.liger import SERVED
from harness.recipes.huggingface import options

if TYPE_CHECKING:
    from harness.recipes.recipe import Recipe

FUSED = "fused_linear_cross_entropy"
# In the order in which a suite has them; the plain cross-entropy stands apart.
LAYERS = ("rope", "rms_norm", "swiglu", "geglu")


def liger(recipe: Recipe, model_type: str, *, fused_loss: bool = True) -> dict[str, Any]:
    """Return the settings of `use_liger_kernel` in a model of this type.

    Args:
        recipe: that asks for it.
        model_type: in transformers' words; empty where it is not known.
        fused_loss: whether Liger's loss is on where `liger_kernel_config` is silent about it.
    """
    said = options(recipe, "liger_kernel_config")
    if not (recipe.flag("use_liger_kernel") or recipe.flag("use_liger")):  # the older name
        return {}
    has = SERVED.get(model_type or "llama")
    if has is None:
        recipe.assume(f"Liger has no kernels for {model_type}, and transformers leaves it as it is")
        return {}
    if has.mixture:
        recipe.differ("Liger's kernels of experts are not in the forecast")
    if not model_type:
        recipe.assume("Liger replaces what it does in a Llama")
    plain = fused_loss and not has.fuses
    layers = dict.fromkeys((name for name in LAYERS if name in has.kernels), True)
    asked = {**layers, "cross_entropy": plain, FUSED: fused_loss and not plain, **said}
    kernels = [name for name, on in asked.items() if on and name != FUSED]
    return {
        **({"loss": "liger"} if asked[FUSED] else {}),
        **({"liger_kernels": kernels} if kernels else {}),
    }
