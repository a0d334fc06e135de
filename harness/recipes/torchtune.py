"""torchtune's recipes: keys and components as in version 0.6.1, and those of its main branch."""

from __future__ import annotations

from typing import Any

from harness.models.spec import ModelSpec
from harness.recipes.models import config_of
from harness.recipes.parts import suite, tokens
from harness.recipes.recipe import Recipe
from harness.recipes.torchtune_keys import (
    ATTENTION,
    BUILDERS,
    FUSED_ATTENTION,
    FUSED_MLP,
    KEYS,
    MLP,
    PARALLEL,
)
from harness.recipes.torchtune_settings import (
    attention_of,
    checkpointing_of,
    component,
    last_of,
    loss_of,
    optimizer_of,
    types_of,
)
from methods.wording import nearest

__all__ = ["KEYS", "suite_of"]

LENGTH = 2048  # tokens, where the recipe leaves max_seq_len open
NO_FILE_OF_TRAINING = "it has no optimizer: a recipe that generates, evaluates or quantises"


def suite_of(recipe: Recipe) -> dict[str, Any]:
    """Return the suite's document; what it cannot say is noted in the recipe."""
    kind, builder = _builder(recipe)
    model = _model(recipe, builder)
    recipe.assume("how many GPUs a recipe runs on is not in its file; the forecast is of one that "
                  "holds everything")  # fmt: skip
    if not str(recipe.word("device", "cuda")).startswith("cuda"):
        recipe.differ(f"{recipe.said('device')}: the forecast is of CUDA's kernels")
    several = [key for key in PARALLEL if (recipe.whole(key) or 1) > 1]
    for key in several:
        recipe.differ(f"{recipe.said(key)}: the forecast is of one GPU that holds everything")
    batch, length = _batch(recipe)
    sizes = config_of(model)
    train: dict[str, Any] = {
        **types_of(recipe, kind, sizes),
        **optimizer_of(recipe),
        **loss_of(recipe, sizes, batch * length),
        **checkpointing_of(recipe, sizes, batch * length, full=not kind),
        **attention_of(recipe, builder),
        "accumulate": recipe.count("gradient_accumulation_steps", 1),
        "clip": recipe.real("clip_grad_norm"),
    }
    if recipe.has("batch_size_val"):
        train["eval_batch_size"] = recipe.count("batch_size_val", 1)
    method = _lora(recipe, builder.startswith("phi")) if kind else "full"
    # No mask is passed: padded tokens are at the end, and attention is causal.
    evaluated = recipe.has("dataset_val") and recipe.has("run_val_every_n_steps")
    task = tokens(batch, length, "longest", evaluation=evaluated, mask=False)
    return suite(recipe, "torchtune", model=model, task=task, method=method, train=train)


def _builder(recipe: Recipe) -> tuple[str, str]:
    """Return `lora`, `qlora` or nothing, and the builder of the model itself."""
    name = component(recipe, "model").rpartition(".")[2]
    for kind in ("qlora", "lora"):
        if name.startswith(f"{kind}_"):
            quantised = kind == "qlora" or recipe.flag("model.quantize_base")
            return ("qlora" if quantised else "lora"), name.removeprefix(f"{kind}_")
    return "", name


def _model(recipe: Recipe, builder: str) -> dict[str, Any]:
    """Return the suite's entry of the model whose sizes the builder has."""
    if not component(recipe, "optimizer") and not recipe.has("policy_model"):
        recipe.refuse("optimizer", NO_FILE_OF_TRAINING)
        return {}
    if "vision" in builder or builder.startswith(("llama4", "flux", "clip")):
        recipe.refuse("model._component_", "images and what encodes them cannot be forecast here")
    elif builder not in BUILDERS and recipe.has("model"):
        recipe.refuse("model._component_", f"sizes unknown; {nearest(builder, BUILDERS)}")
    if builder not in BUILDERS:
        return {}
    source = BUILDERS[builder]
    config = ModelSpec(hub=source).catalogued().config
    return {"config": config, "label": builder} if config else {"hub": source}


def _batch(recipe: Recipe) -> tuple[int, int]:
    """Return rows and tokens of a forward pass."""
    batch, key = recipe.count("batch_size", 1), "tokenizer.max_seq_len"
    if not recipe.has(key) and recipe.has("dataset.max_seq_len"):  # until 2024
        key = "dataset.max_seq_len"
    packed = _packed(recipe)
    if packed and not recipe.has(key):
        recipe.refuse(key, "packed rows are as long as it says")
    elif packed:
        recipe.assume("packed rows are full; flex attention keeps what sdpa's flash keeps")
    elif recipe.has(key):
        recipe.assume(f"the longest example has {key} tokens")
    else:
        recipe.assume(f"{key} is open; the longest example has {LENGTH} tokens "
                      "(train.max_length=N behind the file says it)")  # fmt: skip
    pairs = 2 if last_of(recipe, "loss") == "DPOLoss" else 1  # chosen and rejected
    return pairs * batch, recipe.count(key, LENGTH)


def _packed(recipe: Recipe) -> bool:
    """Tell whether rows are packed: of one data set, or of any of several."""
    several = recipe.value("dataset")
    if isinstance(several, list):
        return any(isinstance(each, dict) and each.get("packed") for each in several)
    return recipe.flag("dataset.packed")


def _lora(recipe: Recipe, fused: bool) -> dict[str, Any]:
    """Return LoRA or DoRA over transformers' names of the same layers.

    Args:
        recipe: that says where adapters are.
        fused: whether transformers' model has query, key and value in one layer (Phi).
    """
    names = FUSED_ATTENTION if fused else ATTENTION
    asked = recipe.names("model.lora_attn_modules")
    wrong = [name for name in asked if name not in names]
    if wrong:
        recipe.refuse("model.lora_attn_modules", nearest(wrong[0], names))
    targets = list(dict.fromkeys(names[name] for name in asked if name in names))
    if recipe.flag("model.apply_lora_to_mlp"):
        targets += FUSED_MLP if fused else MLP
    if fused:
        recipe.differ("adapters are on transformers' fused layers (qkv_proj, gate_up_proj); "
                      "torchtune has their parts as layers, and adapters on those")  # fmt: skip
    if recipe.flag("model.apply_lora_to_output"):
        targets.append("lm_head")
    options: dict[str, Any] = {
        "r": recipe.count("model.lora_rank", 8),
        "lora_dropout": recipe.real("model.lora_dropout", 0.0),
        "target_modules": targets,
    }
    if recipe.flag("model.use_dora"):
        options["use_dora"] = True
    label = "dora" if "use_dora" in options else "lora"
    return {"peft": {"type": "LORA", **options}, "label": label}
