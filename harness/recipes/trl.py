"""TRL's SFT arguments, as `trl sft --config` takes them: defaults of version 1.16."""

from __future__ import annotations

from typing import Any

from harness.recipes.huggingface import (
    WEIGHTS,
    attention,
    autocast,
    checkpointing,
    distributed,
    evaluates,
    evaluation_batch,
    named_model,
    optimizer,
    options,
    peft_lora,
    steps,
)
from harness.recipes.keys import Keys
from harness.recipes.liger import liger
from harness.recipes.models import config_of, in_gib, model_type
from harness.recipes.parts import precision, suite, tokens
from harness.recipes.recipe import Recipe
from harness.recipes.training_arguments import TRAINING, joined

_OTHER = "it is of another trainer of TRL than SFT, whose step has more passes or models"
KEYS = joined(
    Keys(
        acts="bnb_4bit_quant_type use_bnb_nested_quant bnb_4bit_quant_storage lora_r lora_alpha "
        "lora_dropout lora_target_modules lora_target_parameters lora_modules_to_save "
        "lora_task_type use_rslora use_dora activation_offloading label_smoothing_factor "
        "load_in_4bit load_in_8bit max_length max_seq_length packing packing_strategy "
        "pad_to_multiple_of padding_free per_device_train_batch_size tf32 use_peft",
        inert="""
            model_revision trust_remote_code chat_template dataset_* datasets streaming
            test_split_size eos_token pad_token truncation_mode shuffle_dataset eval_packing
            ignore_bias_buffers env
            main_process_port num_machines machine_rank tokenizer_name_or_path system_prompt
            preprocessing_num_workers model_code_revision wandb_* callbacks benchmarks
            auto_insert_empty_system_msg
        """,
        differs={
            "completion_only_loss": "the loss is of these tokens alone; in the forecast of all",
            "assistant_only_loss": "the loss is of these tokens alone; in the forecast of all",
            "chat_template_path": "tokens that it adds to the vocabulary are not in the forecast",
            "num_processes": "the forecast is of one GPU that holds everything",
            "accelerate_config": "the forecast is of one GPU that holds everything",
            "router_aux_loss_coef": "the loss of a mixture's router, which is not in the forecast",
        },
        refused={
            **dict.fromkeys(
                (
                    "beta", "num_generations", "max_prompt_length", "max_completion_length",
                    "use_vllm", "vllm_*", "reward_*", "ref_model*", "teacher_*", "desirable_weight",
                    "undesirable_weight", "precompute_ref_log_probs", "sync_ref_model",
                    "num_mini_batches", "rloo_k",
                ),
                _OTHER,
            ),
        },
    ),
    TRAINING,
)  # fmt: skip
TILE = 2 * 4096 * 32768  # bytes
LENGTH = 1024  # TRL's default; also where max_length is null, and nothing is cut


def suite_of(recipe: Recipe) -> dict[str, Any]:
    """Return the suite's document; what it cannot say is noted in the recipe."""
    model = named_model(recipe)
    distributed(recipe)
    quantised = _quantised(recipe)
    lora = recipe.flag("use_peft")
    if quantised and not lora:
        recipe.refuse("use_peft", "a quantised base does not train; with use_peft: true it is kept")
    task = _task(recipe)
    shape = task["shape"]
    train = {
        **_precision(recipe, quantised, lora),
        **optimizer(recipe, "optim", "adamw_torch_fused"),
        **_loss(recipe, model, shape["batch_size"] * shape["length"], whole=not lora),
        **_checkpointing(recipe),
        **_attention(recipe),
        **steps(recipe),
        **evaluation_batch(recipe, _row(recipe)),
    }
    method = _lora(recipe) if lora else "full"
    return suite(recipe, "trl", model=model, task=task, method=method, train=train)


def _quantised(recipe: Recipe) -> str | None:
    """Return how the base is quantised."""
    four, eight = recipe.flag("load_in_4bit"), recipe.flag("load_in_8bit")
    if four and eight:
        recipe.refuse("load_in_8bit", "beside load_in_4bit: true; TRL takes one of them")
    if four:
        return str(recipe.one_of("bnb_4bit_quant_type", {"nf4": "nf4", "fp4": "fp4"}, "nf4"))
    return "int8" if eight else None


def _dtype(recipe: Recipe) -> str:
    """Return what weights are loaded in."""
    given = options(recipe, "model_init_kwargs")
    key = "torch_dtype" if recipe.has("torch_dtype") else "dtype"
    name = str(given.get("dtype") or given.get("torch_dtype") or recipe.word(key, "float32"))
    if name == "auto":
        recipe.assume("dtype: auto: the checkpoint is in bf16, as most are")
        return "bf16"
    if name not in WEIGHTS:
        raise recipe.wrong(key, "auto, bfloat16, float16 or float32")
    return WEIGHTS[name]


def _precision(recipe: Recipe, quantised: str | None, lora: bool) -> dict[str, Any]:
    """Return the types; TRL has bf16 on unless fp16 is, over weights in `dtype`."""
    weights, half = _dtype(recipe), autocast(recipe, bf16=True)
    tf32 = recipe.flag("tf32")
    compute = half or ("tf32" if tf32 and weights == "fp32" else weights)
    adapters = "fp32"  # peft makes adapters of 16-bit weights fp32
    if quantised is None:
        if not lora and weights == half == "fp16":
            recipe.refuse("fp16", "its scaler of the loss refuses gradients of fp16 weights")
        return precision(weights, compute, autocast=half is not None, adapters=adapters)
    if half == "fp16":
        recipe.differ("TRL makes adapters over a quantised base bf16; the forecast has them fp32")
    else:
        adapters = "same"
    if quantised != "int8" and weights == "fp32" and half:
        recipe.differ(
            "dtype is float32, TRL's own where nothing is said: 4-bit weights are dequantised to "
            f"fp32 and cast to {half}; the forecast dequantises to {half}"
        )
    kept = "fp32" if weights == "fp32" else "compute"
    nested = quantised != "int8" and recipe.flag("use_bnb_nested_quant")
    return {
        **precision(quantised, compute, autocast=half is not None, adapters=adapters),
        "unquantized": kept,
        **({"double_quant": True} if nested else {}),
    }


def _loss(recipe: Recipe, model: dict[str, Any], count: int, *, whole: bool) -> dict[str, Any]:
    """Return the loss; TRL makes no logits, and Liger's loss is off beside it.

    Its buffer has 4,096 tokens by 32,768 words in two bytes (`kernels/chunked_logprob.py`); a piece
    of ours has ten bytes a logit.
    """
    kernels = liger(recipe, model_type(model), fused_loss=False)
    recipe.one_of("loss_type", dict.fromkeys(("nll", "chunked_nll", "dft"), True), "nll")
    if recipe.real("label_smoothing_factor", 0.0):
        return kernels
    logits = count * config_of(model).get("vocab_size", 150_000)
    pieces = max(8, -(-10 * logits // TILE))
    recipe.assume(
        f"TRL is 1.16, whose loss makes no logits but tiles of {TILE >> 20} MiB: {pieces} pieces "
        "of as many bytes here (an older one's: train.loss=model train.loss_chunks=null)"
    )
    if whole and _dtype(recipe) != "fp32":
        more = in_gib(config_of(model), 4, "vocab_size", "hidden_size")
        recipe.differ(f"TRL sums the head's gradient in fp32 beside it: {more} more")
    return {**kernels, "loss": "chunked", "loss_chunks": pieces}


def _checkpointing(recipe: Recipe) -> dict[str, Any]:
    """Return gradient checkpointing, which TRL has on."""
    if recipe.flag("activation_offloading"):
        recipe.refuse("activation_offloading", "activations on the host are in no forecast")
    return checkpointing(recipe, default=True)


def _attention(recipe: Recipe) -> dict[str, Any]:
    given = options(recipe, "model_init_kwargs")
    if given.get("use_kernels"):
        recipe.differ("model_init_kwargs.use_kernels: layers run kernels of the hub; the forecast "
                      "has transformers' own")  # fmt: skip
    return attention(recipe, "attn_implementation", given.get("attn_implementation"))


def _task(recipe: Recipe) -> dict[str, Any]:
    """Return the shape of a batch: padded rows, or one row of all of them without padding."""
    batch = recipe.count("per_device_train_batch_size", 8)
    evaluated = evaluates(recipe)
    packing, free = recipe.flag("packing"), recipe.flag("padding_free")
    strategy = recipe.word("packing_strategy", "bfd")
    length = recipe.count("max_length", recipe.count("max_seq_length", LENGTH))
    if recipe.word("pad_to_multiple_of", "auto") != "auto":
        multiple = recipe.count("pad_to_multiple_of", 1)
        length = -(-length // multiple) * multiple
    if packing and strategy == "wrapped":
        return tokens(batch, length, "max", evaluation=evaluated, mask=False)
    if packing or free:
        full = "packed rows are full" if packing else "every example has max_length tokens"
        recipe.assume(f"{full}: one row of {batch} x {length} tokens")
        return tokens(1, batch * length, "packed", evaluation=evaluated)
    recipe.assume(f"the longest example has max_length, {length} tokens")
    return tokens(batch, length, "longest", evaluation=evaluated, mask=batch > 1)


def _row(recipe: Recipe) -> int:
    """Return how many examples, or packs, one row of a forward pass has."""
    whole = recipe.flag("padding_free") or (
        recipe.flag("packing") and recipe.word("packing_strategy", "bfd") != "wrapped"
    )
    return recipe.count("per_device_train_batch_size", 8) if whole else 1


def _lora(recipe: Recipe) -> dict[str, Any]:
    """Return peft's LoRA; without targets those that peft has for the model."""
    if recipe.word("lora_task_type", "CAUSAL_LM") != "CAUSAL_LM":
        recipe.refuse("lora_task_type", "SFT of a language model (CAUSAL_LM) can be forecast")
    targets: Any = recipe.value("lora_target_modules")
    if isinstance(targets, list) and len(targets) == 1:
        targets = targets[0]
    if targets is None:
        recipe.assume("lora_target_modules is open: peft takes its own for the model")
    return peft_lora(
        "lora",
        targets,
        r=recipe.count("lora_r", 16),
        lora_alpha=recipe.whole("lora_alpha", 32),
        lora_dropout=recipe.real("lora_dropout", 0.05),
        use_dora=recipe.flag("use_dora"),
        use_rslora=recipe.flag("use_rslora"),
        target_parameters=recipe.names("lora_target_parameters"),
        modules_to_save=recipe.names("lora_modules_to_save"),
    )
