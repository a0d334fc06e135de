"""What trainers on transformers' Trainer have in common: optimizers, precision, checkpointing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from methods.wording import nearest

if TYPE_CHECKING:
    from harness.recipes.recipe import Recipe

DEFAULT_OPTIMIZER = "adamw_torch_fused"  # transformers' own since 4.54; adamw_torch before
_OLD = "its code is not installed with transformers any more: taken tensor by tensor, as it was"
_PAGED = "its states lie in unified memory, which no allocator counts: the forecast has them in it"
# transformers' `optim`, and axolotl's own names: ours, and what the forecast does not have of it.
OPTIMIZERS: dict[str, tuple[str, str]] = {
    "adamw_torch": ("adamw", ""),
    "adamw_torch_fused": ("adamw-fused", ""),
    "adamw_hf": ("adamw-plain", _OLD),
    "adamw_bnb_8bit": ("adamw-8bit", ""),
    "adamw_8bit": ("adamw-8bit", ""),
    "paged_adamw_32bit": ("adamw-paged", ""),
    "paged_adamw_8bit": ("adamw-paged-8bit", ""),
    "adamw_torch_8bit": ("adamw-torchao-8bit", ""),
    "adamw_torch_4bit": ("adamw-torchao-4bit", ""),
    "ao_adamw_8bit": ("adamw-torchao-8bit", ""),
    "ao_adamw_4bit": ("adamw-torchao-4bit", ""),
    "ao_adamw_fp8": ("adamw-torchao-fp8", ""),
    "lion_32bit": ("lion", ""),
    "lion_8bit": ("lion-8bit", ""),
    "paged_lion_8bit": ("lion-paged-8bit", ""),
    "paged_lion_32bit": ("lion", _PAGED),
    "sgd": ("sgd", ""),
    "adafactor": (
        "adafactor",
        "the forecast is of torch's Adafactor, whose temporaries are not transformers'",
    ),
    "galore_adamw": ("galore-adamw", ""),
    "apollo_adamw": ("apollo-adamw", ""),
    "muon": ("muon", ""),
}
# What those that cannot be said hold, and the nearest of ours.
_OTHERS: dict[str, str] = {
    "*_layerwise": "an optimizer a layer, stepped in backward; nearest: without _layerwise",
    "galore_*": "GaLore over another optimizer; nearest: galore_adamw",
    "q_galore_*": "quantised projections; nearest: galore_adamw",
    "*ademamix*": "three states a weight; nearest: adamw_torch with two",
    "adamw_anyprecision": "states in types of its own; nearest: adamw_torch",
    "adagrad": "one state a weight; nearest: sgd with momentum",
    "rmsprop*": "one state a weight; nearest: sgd with momentum",
    "*lomo": "steps in backward and has no gradients at rest; nearest: sgd",
    "schedule_free_*": "another copy of what trains; nearest: adamw_torch, with as many states",
    "*adamw*": "an AdamW of a package that is not known here; nearest: adamw_torch",
}
WEIGHTS = {
    "float32": "fp32", "fp32": "fp32", "bfloat16": "bf16", "bf16": "bf16", "float16": "fp16",
    "fp16": "fp16", "half": "fp16", "torch.float32": "fp32", "torch.bfloat16": "bf16",
    "torch.float16": "fp16",
}  # fmt: skip
QUANTISED = {"nf4", "fp4", "int8"}


def optimizer(
    recipe: Recipe, key: str = "optim", default: str = DEFAULT_OPTIMIZER
) -> dict[str, Any]:
    """Return the settings that `optim` is; note what differs, or why there is none."""
    name = str(recipe.word(key, default))
    if name not in OPTIMIZERS:
        held = (text for pattern, text in _OTHERS.items() if fnmatchcase(name, pattern))
        recipe.refuse(key, next(held, nearest(name, OPTIMIZERS)))
        return {}
    ours, differs = OPTIMIZERS[name]
    if differs:
        recipe.differ(f"{key}: {name}: {differs}")
    settings: dict[str, Any] = {"optimizer": ours}
    given = options(recipe, "optim_args")
    if ours == "sgd":
        settings["momentum"] = float(given.get("momentum", 0.0))
    elif given and ours.startswith(("galore", "apollo")):
        recipe.differ(f"{recipe.said('optim_args')}: the forecast has the package's defaults")
    return settings


def options(recipe: Recipe, key: str) -> dict[str, Any]:
    """Return `rank=64, scale=2`, JSON as text or a mapping as a mapping."""
    found = recipe.value(key, {})
    if isinstance(found, str):
        try:
            found = json.loads(found) if found.lstrip().startswith("{") else _pairs(found)
        except ValueError:
            raise recipe.wrong(key, "JSON, or name=value with commas between") from None
    if not isinstance(found, Mapping):
        raise recipe.wrong(key, "a mapping of names to values")
    return dict(found)


def _pairs(text: str) -> dict[str, Any]:
    parts = [part.split("=") for part in text.replace(" ", "").split(",") if part]
    return {name: value for name, value in parts}


def precision(
    recipe: Recipe, weights: str, *, half: str | None, adapters: str, compute: str = "bf16"
) -> dict[str, Any]:
    """Return the settings of weights in one type under autocast in another, or none.

    Args:
        recipe: what is read; `tf32` is its key.
        weights: what the base is stored in.
        half: autocast's type, bf16 or fp16; None: none.
        adapters: what adapters are in: fp32, or `same` as the base.
        compute: of a quantised base, what its weights become in a product.
    """
    tf32 = recipe.flag("tf32")
    if half is not None:
        products = half
    elif weights in QUANTISED:
        products = compute
    else:
        products = "tf32" if tf32 and weights == "fp32" else weights
    return {
        "weights": weights, "compute": products, "autocast": half is not None, "adapters": adapters,
    }  # fmt: skip


def autocast(recipe: Recipe, bf16: bool = False) -> str | None:
    """Return the type that `bf16` and `fp16` ask for; `bf16`: its default."""
    fp16 = recipe.flag("fp16")
    asked = recipe.flag("bf16", bf16 and not fp16)
    if asked and fp16:
        recipe.refuse("fp16", "beside bf16: true; the trainer takes one of them")
    return "bf16" if asked else "fp16" if fp16 else None


def checkpointing(recipe: Recipe, default: bool = False) -> dict[str, Any]:
    """Return `gradient_checkpointing`; note what its options ask for that cannot be said."""
    names = ("activation_checkpointing", "gradient_checkpointing")
    key = next((name for name in names if recipe.has(name)), names[1])
    on = recipe.flag(key, default)
    given = options(recipe, f"{names[1]}_kwargs") | options(recipe, f"{names[0]}_kwargs")
    if not on:
        return {}
    where = f"{names[1]}_kwargs" if recipe.has(f"{names[1]}_kwargs") else f"{names[0]}_kwargs"
    if given.get("offload"):
        recipe.refuse(where, "activations go to the host; without offload it can be forecast")
    if given.get("every_n_layers", 1) not in (None, 1):
        recipe.refuse(where, "some layers keep their activations; every layer or none can be said")
    if given.get("selective"):
        recipe.refuse(where, "some operators keep their outputs; without selective it can be said")
    return {"gradient_checkpointing": "reentrant" if given.get("use_reentrant") else True}


def attention(recipe: Recipe, key: str = "attn_implementation") -> dict[str, Any]:
    """Return `attention`, where the file says one."""
    name = recipe.word(key)
    if name is None:
        return {}
    if name in {"sdpa", "eager", "flash_attention_2"}:
        return {"attention": name}
    if "flash" in name:
        recipe.differ(f"{key}: {name}: the forecast is of flash_attention_2")
        return {"attention": "flash_attention_2"}
    recipe.refuse(key, nearest(name, ("sdpa", "eager", "flash_attention_2")))
    return {}


def peft_lora(label: str, targets: Any = None, **given: Any) -> dict[str, Any]:
    """Return peft's LoRA as a suite's method: options that are not its defaults alone."""
    asked = {key: value for key, value in given.items() if value not in (None, False, [], "none")}
    if targets:
        asked["target_modules"] = targets
    return {"peft": {"type": "LORA", **asked}, "label": label}


def liger(recipe: Recipe, model_type: str | None, *, fused_loss: bool = True) -> dict[str, Any]:
    """Return what `use_liger_kernel` replaces in a model of this type."""
    if not recipe.flag("use_liger_kernel"):
        return {}
    said = options(recipe, "liger_kernel_config")
    gemma = model_type is not None and model_type.startswith("gemma")
    default = {"rope": True, "rms_norm": True, "geglu" if gemma else "swiglu": True}
    asked = {**default, "fused_linear_cross_entropy": fused_loss, **said}
    kernels = [name for name, on in asked.items() if on and name != "fused_linear_cross_entropy"]
    settings: dict[str, Any] = {"liger_kernels": kernels} if kernels else {}
    if asked["fused_linear_cross_entropy"]:
        settings["loss"] = "liger"
    return settings
