"""What trainers on transformers' Trainer have in common: optimizers, precision, checkpointing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from harness.recipes.models import model_entry
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
    # The Trainer asks torchao for blocks of 256, whatever its own number is.
    "adamw_torch_4bit": {"optimizer": "adamw-torchao-4bit", "state_block": 256},
    "lion_32bit": {"optimizer": "lion"},
    "lion_8bit": {"optimizer": "lion-8bit"},
    "paged_lion_32bit": {"optimizer": "lion-paged"},
    "paged_lion_8bit": {"optimizer": "lion-paged-8bit"},
    "sgd": {"optimizer": "sgd", "momentum": 0.0},
    "adafactor": {"optimizer": "adafactor"},
}
# What the forecast does not have of some.
_DIFFER = {
    "adamw_hf": "transformers has it no more; the forecast steps tensor by tensor, as it did",
    "adafactor": "the forecast is of torch's Adafactor, whose temporaries are not transformers'",
}
# What those hold that cannot be said, and the nearest that can.
OTHERS = {
    "*galore_*": "GaLore's states of a low rank are not known here; nearest: adafactor",
    "apollo_*": "APOLLO's states of a low rank are not known here; nearest: adafactor",
    "*ademamix*": "three states a weight; nearest: adamw_torch, with two",
    "adamw_anyprecision": "states in types of its own; nearest: adamw_torch",
    "adagrad": "one state a weight; nearest: paged_lion_32bit, with one",
    "rmsprop*": "one state a weight; nearest: lion_32bit or lion_8bit, with one",
    "*lomo": "it steps in backward and keeps no gradients; nearest: sgd",
    "schedule_free_*": "its package is not known here; nearest: adamw_torch",
    "grokadamw": "three states a weight; nearest: adamw_torch, with two",
    "stable_adamw": "its package is not known here; nearest: adamw_torch, with as many states",
    "adamw_torch_xla": "it is not of CUDA; nearest: adamw_torch",
    "adamw_torch_npu_fused": "it is not of CUDA; nearest: adamw_torch_fused",
}
# Options of checkpointing: what asks for nothing, and why anything else has no forecast.
_SOME = (
    ("offload", False, "activations go to the host; without offload it can be forecast"),
    ("every_n_layers", 1, "some layers keep their activations; all or none can be forecast"),
    ("selective", False, "some operators keep their outputs; without selective it can be forecast"),
)
ATTENTIONS = ("sdpa", "eager", "flash_attention_2")
# How a type of numbers is written.
WEIGHTS = {
    "float32": "fp32", "fp32": "fp32", "bfloat16": "bf16", "bf16": "bf16", "float16": "fp16",
    "fp16": "fp16", "half": "fp16", "torch.float32": "fp32", "torch.bfloat16": "bf16",
    "torch.float16": "fp16",
}  # fmt: skip


def named_model(recipe: Recipe) -> dict[str, Any]:
    """Return the entry of `model_name_or_path`; none where it is given beside the file."""
    key = "model_name_or_path"
    return model_entry(recipe, key) if recipe.has(key) else {}


def optimizer(
    recipe: Recipe, key: str, default: str, more: Mapping[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the settings of the optimizer that the key names; refuse one that nothing here is.

    Args:
        recipe: that names it.
        key: where.
        default: the trainer's own choice.
        more: names that the trainer has beside transformers'.
    """
    known = {**OPTIMIZERS, **(more or {})}
    name, given = str(recipe.word(key, default)), options(recipe, "optim_args")
    if name not in known:
        held = (text for pattern, text in OTHERS.items() if fnmatchcase(name, pattern))
        recipe.refuse(key, next(held, f"there is no such optimizer here; {nearest(name, known)}"))
        return {}
    if name in _DIFFER:
        recipe.differ(f"{key}: {name}: {_DIFFER[name]}")
    settings = dict(known[name])
    if settings["optimizer"] == "sgd":
        settings["momentum"] = float(given.get("momentum", 0.0))
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


def autocast(recipe: Recipe, *, bf16: bool = False) -> str | None:
    """Return the type that `bf16` and `fp16` ask for; `bf16`: the trainer's default of it."""
    fp16 = recipe.flag("fp16")
    asked = recipe.flag("bf16", bf16 and not fp16)
    if asked and fp16:
        recipe.refuse("fp16", "beside bf16: true; the trainer takes one of them")
    return "bf16" if asked else "fp16" if fp16 else None


def checkpointing(recipe: Recipe, *, default: bool = False) -> dict[str, Any]:
    """Return `gradient_checkpointing`; note what its options ask for that cannot be said.

    transformers has a newer name for it, which goes before; without a word about it its
    checkpointing is not reentrant (`activation_checkpointing_enable` of 5.24).
    """
    new, old = "activation_checkpointing", "gradient_checkpointing"
    asked = {name: recipe.flag(name, default) for name in (new, old) if recipe.has(name)}
    given = options(recipe, f"{old}_kwargs") | options(recipe, f"{new}_kwargs")
    if not asked.get(new, asked.get(old, default)):
        return {}
    where = f"{new}_kwargs" if recipe.has(f"{new}_kwargs") else f"{old}_kwargs"
    for name, idle, reason in _SOME:
        if given.get(name, idle) not in (None, idle):
            recipe.refuse(where, reason)
    return {old: "reentrant" if given.get("use_reentrant") else True}


def attention(
    recipe: Recipe, key: str = "attn_implementation", given: str | None = None
) -> dict[str, Any]:
    """Return `attention`, where the file says one at the key, or elsewhere (`given`)."""
    older = "flash_attention_2" if recipe.flag("use_flash_attention_2") else None
    name = given or recipe.word(key, older)
    if name is None:
        return {}
    if name in ATTENTIONS:
        return {"attention": name}
    if "flash" in name:
        recipe.differ(f"attention {name}: the forecast is of flash_attention_2")
        return {"attention": "flash_attention_2"}
    recipe.refuse(key, nearest(name, ATTENTIONS))
    return {}


def steps(recipe: Recipe) -> dict[str, Any]:
    """Return accumulation, clipping and how often the cache is emptied."""
    clip = recipe.real("max_grad_norm", 1.0)
    empty = recipe.whole("torch_empty_cache_steps")
    smoothing = recipe.real("label_smoothing_factor", 0.0)
    return {
        "accumulate": recipe.count("gradient_accumulation_steps", 1),
        "clip": clip or None,
        **({"empty_cache_steps": empty} if empty else {}),
        **({"label_smoothing": smoothing} if smoothing else {}),
    }


def distributed(recipe: Recipe) -> None:
    """Say that one GPU holds everything; what is said of FSDP means nothing where it is off."""
    asked = [key for key in ("deepspeed", "fsdp", "parallelism_config") if recipe.value(key)]
    settings = options(recipe, "fsdp_config") if "fsdp" in asked else recipe.value("fsdp_config")
    asked += ["tp_size"] if (recipe.whole("tp_size") or 1) > 1 else []
    for key in asked:
        recipe.differ(f"{recipe.said(key)}: the forecast is of one GPU that holds everything")
    if "offload" in f"{recipe.value('fsdp', '')} {recipe.value('deepspeed', '')} {settings}":
        recipe.differ("what is offloaded to the host stays on the GPU in the forecast")


def evaluates(recipe: Recipe) -> bool:
    """Tell whether the trainer evaluates between steps."""
    strategy = recipe.word("eval_strategy") or recipe.word("evaluation_strategy", "no")
    return recipe.flag("eval_on_start") or strategy not in ("no", "false")


def evaluation_batch(recipe: Recipe, row: int = 1) -> dict[str, Any]:
    """Return the rows of an evaluation, if there is one; `row`: examples that are one row."""
    rows = recipe.count("per_device_eval_batch_size", 8)
    if not evaluates(recipe):
        return {}
    recipe.assume("an evaluation keeps no logits, which it does for compute_metrics")
    return {"eval_batch_size": -(-rows // row)}


def peft_lora(label: str, targets: Any = None, **given: Any) -> dict[str, Any]:
    """Return peft's LoRA as a suite's method: options that are not its defaults alone."""
    asked = {key: value for key, value in given.items() if value not in (None, False, [], "none")}
    if targets:
        asked["target_modules"] = targets
    return {"peft": {"type": "LORA", **asked}, "label": label}
