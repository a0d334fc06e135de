"""The training settings that axolotl's keys come to."""

from __future__ import annotations

from typing import Any

from harness.recipes.axolotl_keys import PLUGINS
from harness.recipes.huggingface import optimizer
from harness.recipes.parts import MUON, glu, precision
from harness.recipes.recipe import NO, YES, Recipe

CCE = "cut_cross_entropy.CutCrossEntropyPlugin"
LIGER = "liger.LigerPlugin"
# axolotl's own names beside transformers'.
OPTIMIZERS = {
    "optimi_adamw": {"optimizer": "adamw-plain"},
    "ao_adamw_8bit": {"optimizer": "adamw-torchao-8bit"},
    "ao_adamw_4bit": {"optimizer": "adamw-torchao-4bit"},
    "muon": {"optimizer": "adamw"},
    "ao_adamw_fp8": {"optimizer": "adamw-torchao-fp8"},
}
# Its older flags, the stronger first, and what `attn_implementation` has since.
FLAGS = {
    "xformers_attention": "xformers", "sage_attention": "sage",
    "flex_attention": "flex_attention", "flash_attention": "flash_attention_2",
    "sdp_attention": "sdpa", "eager_attention": "eager",
}  # fmt: skip
# Model types whose decoders have LayerNorms, and no RMSNorms.
LAYER_NORMS = (
    "gpt2", "gptj", "gpt_neox", "gpt_bigcode", "opt", "bloom", "mpt", "falcon", "phi", "stablelm",
    "starcoder2", "cohere", "cohere2", "dbrx", "nemotron",
)  # fmt: skip
FLASH = "flash_attention_2 of the package flash-attn"


def settings_of(recipe: Recipe, adapter: str, kind: str) -> dict[str, Any]:
    """Return the settings.

    Args:
        recipe: that says them.
        adapter: `lora`, `qlora` or nothing.
        kind: the model's type; empty where it is not known.
    """
    settings = {
        **_precision(recipe, adapter),
        **optimizer(recipe, "optimizer", "adamw_torch_fused", OPTIMIZERS),
        **_attention(recipe),
        **_checkpointing(recipe),
        **_loss(recipe, kind),
        **_steps(recipe),
    }
    if recipe.word("optimizer") == "muon":
        recipe.differ(f"optimizer: muon: {MUON}")
    if not adapter:
        _tell_upcast(recipe, settings)
    return settings


def _tell_upcast(recipe: Recipe, settings: dict[str, Any]) -> None:
    """Say where axolotl lets embeddings, norms and head of a 16-bit model train in fp32."""
    flash = settings.get("attention") == "flash_attention_2"
    sharded = recipe.value("fsdp") or recipe.value("fsdp_config")
    cut = any(plugin.endswith(CCE) for plugin in recipe.names("plugins"))
    if settings["weights"] in ("bf16", "fp16") and not (flash or sharded or cut):
        recipe.differ(
            "without flash attention axolotl has embeddings, norms and head in fp32, and trains "
            "them so: more than the forecast, which has them in 16 bits"
        )


def _dtype(recipe: Recipe) -> tuple[str, bool]:
    """Return the type of weights and products, and whether autocast is on."""
    bf16, fp16 = recipe.value("bf16"), recipe.flag("fp16")
    is_bf16 = False
    if bf16 == "auto":
        is_bf16 = not fp16 and recipe.bf16_by_card("bf16")
        fp16 = fp16 or not (is_bf16 or recipe.has("fp16") or recipe.flag("float16"))
    elif bf16 == "full":
        is_bf16 = True
    elif isinstance(bf16, str) and bf16.lower() not in YES | NO:
        raise recipe.wrong("bf16", "true, false, auto or full")
    else:
        is_bf16 = recipe.flag("bf16")
    if is_bf16 or recipe.flag("bfloat16"):
        return "bf16", True
    if fp16 or recipe.flag("float16"):
        return "fp16", fp16
    tf32 = recipe.value("tf32") == "auto" or recipe.flag("tf32")
    return ("tf32" if tf32 else "fp32"), False


def _precision(recipe: Recipe, adapter: str) -> dict[str, Any]:
    """Return weights, compute, autocast and adapters; axolotl loads a model in the 16 bits."""
    compute, autocast = _dtype(recipe)
    weights = "fp32" if compute == "tf32" else compute
    if weights == "fp32" and recipe.flag("load_in_8bit"):
        weights = compute = "fp16"
    if not adapter and weights == "fp16" and autocast:
        recipe.refuse("fp16", "weights that train in fp16 have gradients that the Trainer's scaler "
                              "of the loss refuses: the run would end; bf16 can be "
                              "forecast")  # fmt: skip
    cast = recipe.flag("peft_autocast_adapter_dtype", True)
    adapters = "fp32" if adapter and cast else "same"
    if recipe.flag("load_in_8bit") and adapter == "lora":
        said = precision("int8", compute, autocast=autocast, adapters=adapters)
        return {**said, "unquantized": "compute"}
    if recipe.flag("load_in_4bit") and adapter == "qlora":
        kind = recipe.word("bnb_config_kwargs.bnb_4bit_quant_type", "nf4") or "nf4"
        double = recipe.flag("bnb_config_kwargs.bnb_4bit_use_double_quant", True)
        said = precision(kind, compute, autocast=autocast, adapters=adapters)
        return {**said, "unquantized": "compute", "double_quant": double}
    return precision(weights, compute, autocast=autocast, adapters=adapters)


def _attention(recipe: Recipe) -> dict[str, Any]:
    """Return the attention; kernels like flash-attn's are taken to be its second version's."""
    given = [flag for flag in FLAGS if recipe.flag(flag)]
    name = recipe.word("attn_implementation") or (FLAGS[given[0]] if given else None)
    if recipe.flag("gemma4_hybrid_attn_impl"):
        recipe.differ("gemma4_hybrid_attn_impl: layers with full attention run sdpa; in the "
                      "forecast all run flash_attention_2")  # fmt: skip
        name = "flash_attention_2"
    if name is None:
        return {}
    if name in ("eager", "sdpa", "flash_attention_2"):
        return {"attention": name}
    if name in ("flex_attention", "xformers", "sage", "fp8"):
        recipe.differ(f"attention {name}: {FLASH} stands in for it")
    else:
        recipe.assume(f"attention {name} keeps what {FLASH} keeps")
    return {"attention": "flash_attention_2"}


def _checkpointing(recipe: Recipe) -> dict[str, Any]:
    """Return gradient checkpointing; without a word about it axolotl's is reentrant."""
    key, kwargs = "gradient_checkpointing", "gradient_checkpointing_kwargs"
    if str(recipe.value(key)).startswith("offload"):
        recipe.refuse(key, "activations offloaded to the host are in no forecast; true is")
        return {}
    if not recipe.flag(key):
        return {}
    plain = not (recipe.has(kwargs) or recipe.has("unfrozen_parameters") or recipe.has("rl"))
    reentrant = recipe.flag(f"{kwargs}.use_reentrant", plain)
    return {key: "reentrant" if reentrant else True}


def _loss(recipe: Recipe, kind: str) -> dict[str, Any]:
    """Return loss and kernels of the plugins."""
    plugins = recipe.names("plugins")
    for plugin in plugins:
        if plugin not in PLUGINS:
            recipe.refuse("plugins", f"what {plugin} changes is in no forecast")
    settings: dict[str, Any] = {}
    if any(plugin.endswith(LIGER) for plugin in plugins):
        settings |= _liger(recipe, kind)
    if any(plugin.endswith(CCE) for plugin in plugins) and recipe.flag("cut_cross_entropy", True):
        recipe.differ("cut cross-entropy makes no logits; the forecast's loss makes them in 64 "
                      "pieces, one at a time")  # fmt: skip
        settings |= {"loss": "chunked", "loss_chunks": 64}
    elif recipe.flag("chunked_cross_entropy"):
        count = recipe.count("chunked_cross_entropy_num_chunks", 8)
        settings |= {"loss": "chunked", "loss_chunks": count}
    return settings


def _liger(recipe: Recipe, kind: str) -> dict[str, Any]:
    named = {"rms_norm": "liger_rms_norm", "rope": "liger_rope",
             "cross_entropy": "liger_cross_entropy"}  # fmt: skip
    kernels = [kernel for kernel, key in named.items() if recipe.flag(key)]
    if recipe.flag("liger_layer_norm") and (not kind or kind in LAYER_NORMS):
        recipe.differ("liger_layer_norm: the forecast has the model's own LayerNorms, if it has "
                      "any")  # fmt: skip
    if recipe.flag("liger_glu_activation") or recipe.flag("liger_swiglu"):
        kernels.append(glu(kind))
    fused = recipe.flag("liger_fused_linear_cross_entropy")
    return {
        **({"loss": "liger"} if fused else {}),
        **({"liger_kernels": kernels} if kernels else {}),
    }


def _steps(recipe: Recipe) -> dict[str, Any]:
    """Return accumulation, evaluation's batch, clipping and emptying of the cache."""
    batch = recipe.count("micro_batch_size", 1)
    whole = recipe.whole("batch_size")
    accumulate = recipe.whole("gradient_accumulation_steps") or (whole or batch) // batch
    clip = recipe.real("max_grad_norm", 1.0)
    empty = recipe.whole("torch_empty_cache_steps") or recipe.whole("gc_steps")
    evaluation = recipe.whole("eval_batch_size")
    return {
        "accumulate": max(accumulate, 1),
        "clip": clip or None,
        **({"eval_batch_size": evaluation} if evaluation else {}),
        **({"empty_cache_steps": empty} if empty and empty > 0 else {}),
    }
