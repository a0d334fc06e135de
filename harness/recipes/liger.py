"""`use_liger_kernel`: what Liger replaces by itself in a model of a type, as transformers asks it.

Read in Liger 0.8.5 (`transformers/monkey_patch.py`); kernels of experts are not among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.recipes.huggingface import options

if TYPE_CHECKING:
    from harness.recipes.recipe import Recipe

FUSED = "fused_linear_cross_entropy"
_ALL, _TANH = ("rope", "rms_norm", "swiglu"), ("rope", "rms_norm", "geglu")
KERNELS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "llama", "mistral", "ministral", "qwen2", "qwen3", "phi3", "smollm3", "granite",
            "olmo2", "olmo3", "exaone4", "hunyuan_v1_dense", "mllama_text_model",
        ),
        _ALL,
    ),
    **dict.fromkeys(("gemma", "gemma2", "gemma3", "gemma3_text"), _TANH),
    **dict.fromkeys(("gemma4", "gemma4_text"), ("rms_norm", "geglu")),
    "falcon_h1": ("rope", "rms_norm"),
    "glm4": ("rms_norm", "swiglu"),
    "nemotron": (),
    "qwen3_5_text": ("rms_norm", "swiglu"),
}  # fmt: skip
MIXTURES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("mixtral", "qwen3_moe"), ("rope", "rms_norm")),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "gpt_oss", "llama4_text"), ("rms_norm",)),
    **dict.fromkeys(("qwen3_next", "qwen3_5_moe_text"), ("rms_norm",)),
}
UNFUSED = {"granite"}  # Liger's own default is its plain cross-entropy there


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
    known = {**KERNELS, **MIXTURES, "": _ALL}
    if model_type not in known:
        recipe.assume(f"Liger has no kernels for {model_type}, and transformers leaves it as it is")
        return {}
    if model_type in MIXTURES:
        recipe.differ("Liger's kernels of experts are not in the forecast")
    if not model_type:
        recipe.assume("Liger replaces what it does in a Llama")
    plain = fused_loss and model_type in UNFUSED
    asked = {**dict.fromkeys(known[model_type], True), "cross_entropy": plain,
             FUSED: fused_loss and not plain, **said}  # fmt: skip
    kernels = [name for name, on in asked.items() if on and name != FUSED]
    return {
        **({"loss": "liger"} if asked[FUSED] else {}),
        **({"liger_kernels": kernels} if kernels else {}),
    }
