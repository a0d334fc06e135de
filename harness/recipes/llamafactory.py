"""LLaMA-Factory's training configs: its keys and defaults as in version 0.9.5."""

from __future__ import annotations

from typing import Any

from harness.models.catalogue import quantized
from harness.recipes.huggingface import optimizer, peft_lora, steps
from harness.recipes.llamafactory_keys import KEYS
from harness.recipes.models import model_entry, model_type
from harness.recipes.parts import MUON, glu, packed, precision, suite, tokens
from harness.recipes.recipe import Recipe

__all__ = ["KEYS", "suite_of"]

# `flash_attn`; auto is the model's own.
ATTENTION = {
    "auto": {}, "disabled": {"attention": "eager"}, "off": {"attention": "eager"},
    "false": {"attention": "eager"}, "sdpa": {"attention": "sdpa"},
    "fa2": {"attention": "flash_attention_2"}, "true": {"attention": "flash_attention_2"},
}  # fmt: skip
# Stages of pairs: the chosen and the rejected answer are a row each.
PAIRS = ("dpo", "rm")
NEARLY = {
    "use_muon": MUON,
    "use_adam_mini": "it keeps one number of a block in place of a second state; the forecast has "
    "AdamW's two, which is more by as many bytes as what trains",
}
# Losses of pairs that need no second model.
ALONE = ("orpo", "simpo")
# Checkpoints whose names say that they are quantised.
QUANTISED = ("-awq", "-gptq", "-aqlm", "-int4", "-int8", "-fp8")


def suite_of(recipe: Recipe) -> dict[str, Any]:
    """Return the suite's document; what it cannot say is noted in the recipe."""
    model = model_entry(recipe, "model_name_or_path")
    kind = recipe.one_of(
        "finetuning_type", {k: k for k in ("lora", "full", "freeze", "oft")}, "lora"
    )
    _stage(recipe, kind)
    name = recipe.word("model_name_or_path") or ""
    if not name:
        recipe.refuse("model_name_or_path", "it names no model, so the file is no training config")
    elif any(part in name.lower() for part in QUANTISED) and quantized(name) is None:
        recipe.refuse("model_name_or_path", "a checkpoint that is quantised already; the original "
                      "with quantization_bit: 4 can be forecast")  # fmt: skip
    train = {
        **steps(recipe),
        **_precision(recipe, kind),
        **_optimizer(recipe),
        **recipe.one_of("flash_attn", ATTENTION, "auto"),
        **_checkpointing(recipe),
        **_liger(recipe, model_type(model)),
    }
    if _evaluates(recipe):
        rows = 2 if recipe.word("stage") in PAIRS else 1
        train["eval_batch_size"] = rows * recipe.count("per_device_eval_batch_size", 8)
    method, task = _method(recipe, kind), _task(recipe, model_type(model))
    return suite(recipe, "LLaMA-Factory", model=model, task=task, method=method, train=train)


def _stage(recipe: Recipe, kind: str) -> None:
    """Refuse what is no step of one model that trains whole or by adapters."""
    stage = recipe.word("stage", "sft")
    if not recipe.flag("do_train"):
        recipe.refuse("do_train", "nothing trains; the forecast is of training steps")
    if kind == "freeze":
        recipe.refuse("finetuning_type", "some layers train, and no method here is that; lora, oft "
                                         "and full can be forecast")  # fmt: skip
    if stage == "ppo":
        recipe.refuse("stage", "its step generates answers, which is in no forecast")
    elif stage in ("dpo", "kto"):
        alone = stage == "dpo" and recipe.word("pref_loss", "sigmoid") in ALONE
        if kind in ("full", "freeze") and not alone:
            recipe.refuse("stage", "the reference model, a second copy, is in no forecast")
        recipe.differ(
            f"stage: {stage}: the step is the policy's, with cross-entropy in place of the log "
            "probabilities of whole answers"
            + ("" if alone else "; passes without gradients, of the reference, are left out")
        )
    elif stage == "rm":
        recipe.differ("stage: rm: a value head reads the last of all hidden states, which live to "
                      "the end of the step; the forecast has cross-entropy, and drops "
                      "them")  # fmt: skip
    elif stage not in ("sft", "pt"):
        recipe.refuse("stage", "there is no such stage; pt, sft, rm, dpo and kto can be forecast")


def _precision(recipe: Recipe, kind: str) -> dict[str, Any]:
    """Return weights, compute, autocast and adapters.

    What trains is made fp32, the whole model too, unless pure_bf16 is on.
    """
    pure = recipe.flag("pure_bf16")
    if recipe.flag("bf16") or pure:
        compute = "bf16"
    elif recipe.flag("fp16"):
        compute = "fp16"
    else:
        has = recipe.has_bf16 is not False
        compute = "bf16" if has else "fp16"
        if kind != "full":
            recipe.assume(f"without bf16 and fp16 the base has its config's type: {compute}")
    autocast = recipe.flag("bf16") or recipe.flag("fp16")
    trained = "same" if pure else "fp32"
    bits = recipe.whole("quantization_bit")
    if bits is None and kind == "full" and not pure:
        return precision("fp32", compute if autocast else "fp32", autocast=autocast)
    if bits is None:
        return precision(compute, compute, autocast=autocast, adapters=trained)
    if kind not in ("lora", "oft"):
        recipe.refuse("quantization_bit", "a quantised base does not train; finetuning_type: lora "
                      "trains beside it")  # fmt: skip
    method = recipe.word("quantization_method", "bnb")
    if method not in ("bnb", "bitsandbytes") or bits not in (4, 8):
        recipe.refuse("quantization_bit", f"by {method}; 4 or 8 by bitsandbytes can be forecast")
    weights = recipe.word("quantization_type", "nf4") if bits == 4 else "int8"
    said = precision(str(weights), compute, autocast=autocast, adapters=trained)
    double = {"double_quant": recipe.flag("double_quantization", True)} if bits == 4 else {}
    return {**said, "unquantized": "compute", **double}


def _optimizer(recipe: Recipe) -> dict[str, Any]:
    """Return the optimizer; those with keys of their own that are nearly AdamW are told."""
    settings = optimizer(recipe, "optim", "adamw_torch_fused")
    for key, text in NEARLY.items():
        if recipe.flag(key):
            recipe.differ(f"{key}: {text}")
            settings = {"optimizer": "adamw"}
    return settings


def _checkpointing(recipe: Recipe) -> dict[str, Any]:
    """Return gradient checkpointing: on, and reentrant, where the file says nothing."""
    if recipe.flag("disable_gradient_checkpointing"):
        return {}
    return {
        "gradient_checkpointing": "reentrant" if recipe.flag("use_reentrant_gc", True) else True
    }


def _liger(recipe: Recipe, kind: str) -> dict[str, Any]:
    """Return what LLaMA-Factory lets Liger replace: all that it has for the model's type."""
    if not recipe.flag("enable_liger_kernel"):
        return {}
    kernels = ["rms_norm", glu(kind), "rope"]
    if recipe.word("stage", "sft") in ("sft", "pt"):
        return {"loss": "liger", "liger_kernels": kernels}
    return {"liger_kernels": [*kernels, "cross_entropy"]}


def _task(recipe: Recipe, kind: str) -> dict[str, Any]:
    """Return the shape of a batch: rows of up to `cutoff_len` tokens."""
    batch = recipe.count("per_device_train_batch_size", 8)
    length = recipe.count("cutoff_len", 2048)
    stage = recipe.word("stage", "sft")
    evaluation = _evaluates(recipe)
    if recipe.flag("neat_packing"):
        return packed(recipe, kind, batch, length, evaluation=evaluation)
    if recipe.flag("packing", stage == "pt"):
        recipe.assume("packed rows are full, and a token sees all before it in its row")
        return tokens(batch, length, "max", evaluation=evaluation, mask=False)
    recipe.assume(f"the longest example has cutoff_len, {length} tokens")
    rows = 2 * batch if stage in PAIRS else batch
    return tokens(rows, length, "longest", evaluation=evaluation)


def _evaluates(recipe: Recipe) -> bool:
    """Tell whether the trainer evaluates between steps."""
    strategy = recipe.word("eval_strategy") or recipe.word("evaluation_strategy")
    held_out = bool(recipe.real("val_size", 0.0)) or recipe.has("eval_dataset")
    return held_out and strategy not in (None, "no", "false")


def _method(recipe: Recipe, kind: str) -> Any:
    """Return full fine-tuning, or peft's LoRA or OFT."""
    if kind in ("full", "freeze"):
        return "full"
    targets: Any = recipe.names(f"{kind}_target") or ["all"]
    targets = "all-linear" if targets == ["all"] else targets
    saved = recipe.names("additional_target")
    if saved and not recipe.flag("pure_bf16"):
        recipe.differ(
            "additional_target: trains in fp32 there, here in the base's 16 bits: 8 bytes less for "
            "each of its weights"
        )
    if kind == "oft":
        block, rank = recipe.whole("oft_block_size", 32), recipe.whole("oft_rank", 0)
        options = {"oft_block_size": block, "r": rank, "target_modules": targets,
                   "module_dropout": recipe.real("module_dropout", 0.0)}  # fmt: skip
        more = {"modules_to_save": saved} if saved else {}
        return {"peft": {"type": "OFT", **options, **more}, "label": "oft"}
    rank = recipe.count("lora_rank", 8)
    return peft_lora(
        "lora", targets, r=rank, lora_alpha=recipe.whole("lora_alpha") or 2 * rank,
        lora_dropout=recipe.real("lora_dropout", 0.0), use_rslora=recipe.flag("use_rslora"),
        use_dora=recipe.flag("use_dora"), modules_to_save=saved,
    )  # fmt: skip
