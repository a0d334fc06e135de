"""axolotl's config: its keys and defaults as in version 0.19."""

from __future__ import annotations

import re
from typing import Any

from harness.recipes.axolotl_keys import KEYS, PARALLEL
from harness.recipes.axolotl_settings import settings_of
from harness.recipes.models import model_entry, model_type
from harness.recipes.parts import everywhere, packed, suite, tokens
from harness.recipes.recipe import Recipe

__all__ = ["KEYS", "suite_of"]

# Options of peft's LoRA, and axolotl's keys for them.
LORA = {
    "target_parameters": "lora_target_parameters", "modules_to_save": "lora_modules_to_save",
    "rank_pattern": "lora_rank_pattern", "alpha_pattern": "lora_alpha_pattern",
    "layers_to_transform": "peft_layers_to_transform", "layers_pattern": "peft_layers_pattern",
    "use_dora": "peft_use_dora", "use_rslora": "peft_use_rslora",
    "trainable_token_indices": "peft_trainable_token_indices",
    "exclude_modules": "lora_exclude_modules",
}  # fmt: skip
# A parameter of each kind of a language model: patterns that fit all of them leave nothing frozen.
EVERY = ("model.layers.0.self_attn.q_proj.weight", "model.layers.9.mlp.down_proj.weight",
         "lm_head.weight")  # fmt: skip
# Ways of preference whose step is one of the policy over both answers of a pair.
PAIRS = ("dpo", "ipo", "simpo", "orpo")


def suite_of(recipe: Recipe) -> dict[str, Any]:
    """Return the suite's document; what it cannot say is noted in the recipe."""
    config = recipe.word("base_model_config")
    model = model_entry(recipe, "base_model", [config] if config else [])
    if not model:
        recipe.refuse("base_model", "it names no model, so the file is no training config")
    adapter = recipe.word("adapter") or ""
    _stage(recipe, adapter)
    _trained(recipe, adapter)
    _distributed(recipe)
    train = settings_of(recipe, adapter, model_type(model))
    method = _lora(recipe) if adapter else "full"
    return suite(
        recipe,
        "axolotl",
        model=model,
        task=_task(recipe, model_type(model)),
        method=method,
        train=train,
    )


def _stage(recipe: Recipe, adapter: str) -> None:
    """Refuse what is no step of one model."""
    rl = recipe.word("rl")
    if adapter not in ("", "lora", "qlora"):
        recipe.refuse("adapter", "lora, qlora or nothing can be forecast")
    if adapter == "lora" and recipe.flag("load_in_4bit"):
        recipe.refuse("load_in_4bit", "axolotl quantises with adapter: qlora alone")
    for key in ("load_in_8bit", "load_in_4bit"):
        if not adapter and recipe.flag(key):
            recipe.refuse(key, "axolotl has no quantised base without an adapter")
    if adapter == "qlora" and recipe.flag("load_in_8bit"):
        recipe.refuse("load_in_8bit", "adapter: qlora is over 4 bits; adapter: lora takes 8")
    if adapter == "qlora" and not recipe.flag("load_in_4bit"):
        recipe.refuse("adapter", "qlora needs load_in_4bit: true")
    if rl in (*PAIRS, "kto"):
        copies = rl in ("dpo", "ipo", "kto")
        if copies and not adapter:
            recipe.refuse("rl", "the reference model, a second copy, is in no forecast")
        recipe.differ(
            f"rl: {rl}: the step is the policy's, with cross-entropy in place of the log "
            "probabilities of whole answers"
            + ("; the reference's pass, without gradients, is left out" if copies else "")
        )
    elif rl:
        recipe.refuse("rl", "its step generates answers, which is in no forecast; dpo, ipo, simpo, "
                            "orpo and kto can be forecast")  # fmt: skip


def _trained(recipe: Recipe, adapter: str) -> None:
    """Refuse recipes that train a part of the model."""
    patterns = recipe.names("unfrozen_parameters")
    if not patterns:
        return
    if adapter:
        recipe.refuse("unfrozen_parameters", "beside an adapter, what trains is not known here")
        return
    try:
        text = [re.compile(everywhere(pattern, always=True)) for pattern in patterns]
    except re.error:
        raise recipe.wrong("unfrozen_parameters", "a list of regular expressions") from None
    if not all(any(pattern.match(name) for pattern in text) for name in EVERY):
        recipe.refuse("unfrozen_parameters", "a part of the model trains, and no method here is "
                                             "that part; adapters or the whole model can be "
                                             "forecast")  # fmt: skip


def _distributed(recipe: Recipe) -> None:
    """Say that one GPU holds everything."""
    several = [key for key in PARALLEL if (recipe.whole(key) or 1) > 1]
    several += [key for key in ("deepspeed", "fsdp", "fsdp_config") if recipe.value(key)]
    if several:
        said = ", ".join(several)
        recipe.differ(f"{said}: the forecast is of one GPU that holds everything")
    keys = ("fsdp_config.offload_params", "fsdp_config.fsdp_offload_params")
    if any(map(recipe.flag, keys)) or "offload" in str(recipe.value("deepspeed", "")):
        recipe.differ("what is offloaded to the host stays on the GPU in the forecast")


def _task(recipe: Recipe, kind: str) -> dict[str, Any]:
    """Return the shape of a batch: rows of `sequence_len` tokens, or one row of all of them."""
    batch = recipe.count("micro_batch_size", 1)
    length = recipe.count("sequence_len", 512)
    evaluation = _evaluates(recipe)
    loaded = recipe.word("model_type") or recipe.word("type_of_model") or ""
    if recipe.flag("process_reward_model") or "TokenClassification" in loaded:
        key = "process_reward_model" if recipe.has("process_reward_model") else "model_type"
        recipe.refuse(key, "there is no classification of tokens here")
    is_reward = recipe.flag("reward_model")
    if is_reward or "SequenceClassification" in loaded:
        if is_reward:
            recipe.differ("reward_model: a pair is two rows, each with a loss of its own")
        labels = recipe.count("num_labels", 1 if is_reward else 2)
        rows = 2 * batch if is_reward else batch
        return tokens(rows, length, "max", evaluation=evaluation, family="classification",
                      num_labels=labels)  # fmt: skip
    if recipe.flag("sample_packing"):
        return packed(recipe, kind, batch, length, evaluation=evaluation)
    if recipe.flag("pad_to_sequence_len"):
        return tokens(batch, length, "max", evaluation=evaluation)
    recipe.assume(f"the longest example has sequence_len, {length} tokens")
    rows = 2 * batch if recipe.word("rl") in PAIRS else batch
    return tokens(rows, length, "longest", evaluation=evaluation)


def _evaluates(recipe: Recipe) -> bool:
    """Tell whether a part of the data is held out, and evaluated."""
    held_out = bool(recipe.real("val_set_size", 0.0) or recipe.value("test_datasets"))
    strategy = recipe.word("eval_strategy") or recipe.word("evaluation_strategy")
    return held_out and strategy not in ("no", "false")


def _lora(recipe: Recipe) -> dict[str, Any]:
    """Return peft's LoRA with axolotl's options."""
    targets: Any = recipe.value("lora_target_modules")
    if isinstance(targets, str):
        targets = everywhere(targets)
    if recipe.flag("lora_target_linear"):
        targets = "all-linear"
    options: dict[str, Any] = {
        "r": recipe.count("lora_r", 8),
        "lora_alpha": recipe.whole("lora_alpha", 8),
        "lora_dropout": recipe.real("lora_dropout", 0.0),
        **({"target_modules": targets} if targets else {}),
    }
    options |= {ours: recipe.value(key) for ours, key in LORA.items() if recipe.value(key)}
    _fused(recipe)
    return {"peft": {"type": "LORA", **options}, "label": "lora"}


def _fused(recipe: Recipe) -> None:
    """Say that axolotl's fused kernels of LoRA, on by themselves in most recipes, keep less."""
    keys = ("lora_mlp_kernel", "lora_qkv_kernel", "lora_o_kernel")
    said = [recipe.value(key) for key in keys]
    alone = all(value is None for value in said) and not (
        recipe.has("rl") or recipe.flag("trust_remote_code") or recipe.flag("load_in_8bit")
    )
    if alone or any(said):
        how = "on by themselves" if alone else "on"
        recipe.differ(
            f"lora_*_kernel are {how}: axolotl's fused kernels keep fewer activations than peft's "
            "layers, which the forecast has"
        )
