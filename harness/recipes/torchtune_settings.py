"""What torchtune's keys of precision, optimizer, loss and checkpointing come to."""

from __future__ import annotations

from typing import Any

from harness.recipes.models import in_gib
from harness.recipes.parts import precision
from harness.recipes.recipe import Recipe
from harness.recipes.torchtune_keys import OPTIMIZERS
from methods.wording import nearest


def component(recipe: Recipe, section: str) -> str:
    """Return a section's component, whole; empty where there is none."""
    return recipe.word(f"{section}._component_") or ""


def last_of(recipe: Recipe, section: str) -> str:
    """Return the last part of a section's component."""
    return component(recipe, section).rpartition(".")[2]


def types_of(recipe: Recipe, kind: str, sizes: dict[str, Any]) -> dict[str, Any]:
    """Return the types: everything is in `dtype`, adapters too, and nothing under autocast."""
    names = {"bf16": "bf16", "fp32": "fp32"}
    dtype = recipe.one_of("dtype", names, "bf16")
    if kind != "qlora":
        return precision(dtype, dtype, autocast=False, adapters="same" if kind else "fp32")
    more = in_gib(sizes, 12, "hidden_size", "intermediate_size")
    recipe.differ(
        "torchao dequantises nf4 with 14 bytes a value of the layer at work (counted with torchao "
        f"0.18), bitsandbytes, of which the forecast is, with 2: it may be too low by {more}"
    )
    said = precision("nf4", dtype, autocast=False)
    return {**said, "double_quant": True, "unquantized": "compute"}


def optimizer_of(recipe: Recipe) -> dict[str, Any]:
    """Return the optimizer, and whether it steps in backward."""
    name = component(recipe, "optimizer")
    settings: dict[str, Any] = {}
    fused, foreach = recipe.flag("optimizer.fused"), recipe.flag("optimizer.foreach", True)
    if name in ("torch.optim.AdamW", "torch.optim.Adam"):
        which = "adamw-fused" if fused else "adamw" if foreach else "adamw-plain"
        settings = {"optimizer": which}
    elif name == "torch.optim.SGD":
        settings = {"optimizer": "sgd", "momentum": recipe.real("optimizer.momentum", 0.0)}
    elif name == "torch.optim.Adafactor":
        settings = {"optimizer": "adafactor"}
    elif name in OPTIMIZERS:
        settings = dict(OPTIMIZERS[name])
        if name.startswith("torchao") and recipe.has("optimizer.block_size"):
            settings["state_block"] = recipe.count("optimizer.block_size", 256)
    elif name:
        known = ("torch.optim.AdamW", "torch.optim.SGD", *OPTIMIZERS)
        recipe.refuse("optimizer._component_", nearest(name, known))
    if recipe.flag("optimizer_in_bwd"):
        settings["optimizer_in_backward"] = True
        if recipe.count("gradient_accumulation_steps", 1) > 1:
            recipe.refuse("optimizer_in_bwd", "gradients of several passes are not summed up; "
                          "gradient_accumulation_steps: 1 can be forecast")  # fmt: skip
        if recipe.value("clip_grad_norm") is not None:
            recipe.refuse("optimizer_in_bwd", "no norm of all gradients is known; clip_grad_norm: "
                          "null can be forecast")  # fmt: skip
    return settings


def loss_of(recipe: Recipe, sizes: dict[str, Any], count: int) -> dict[str, Any]:
    """Return the loss, and note what it holds in torchtune."""
    name = last_of(recipe, "loss")
    if name in ("CEWithChunkedOutputLoss", "LinearCrossEntropyLoss"):
        if name == "LinearCrossEntropyLoss":
            recipe.differ("LinearCrossEntropyLoss makes the logits of a piece of the tokens at a "
                          "time; the forecast has all in 16 bits beside their softmax in fp32, "
                          "which both keep")  # fmt: skip
        pieces = recipe.count("loss.num_output_chunks", 8)
        return {"loss": "chunked-output", "loss_chunks": pieces}
    if name == "CrossEntropyLoss":
        smoothing = recipe.real("loss.label_smoothing", 0.0)
        return {"label_smoothing": smoothing} if smoothing else {}
    if name == "DPOLoss":
        recipe.differ(
            "DPOLoss: the step is the policy's over both answers of a pair, with cross-entropy in "
            "place of their log probabilities; the reference's pass is left out, whose logits and "
            f"their softmax, {in_gib(sizes, 8 * count, 'vocab_size')}, are held beside the policy's"
        )
        return {}
    if name:
        known = ("CEWithChunkedOutputLoss", "LinearCrossEntropyLoss", "CrossEntropyLoss", "DPOLoss")
        learns = "PPO" in name or "GRPO" in name
        reason = "its step generates answers" if learns else nearest(name, known)
        recipe.refuse("loss._component_", reason)
    return {}


def checkpointing_of(
    recipe: Recipe, sizes: dict[str, Any], count: int, *, full: bool
) -> dict[str, Any]:
    """Return gradient checkpointing; say what layers keep in torchtune beyond transformers'.

    Counted on the CPU with torchtune 0.6.1 and transformers 5.24, four layers of Llama 3 in bf16:
    keys and values of all heads where transformers keeps those of groups, and in norms that train
    fp32.
    """
    on = recipe.flag("enable_activation_checkpointing")
    mode, option = recipe.word("ac_mode"), recipe.word("ac_option")
    if mode == "selective" and option != "1":
        recipe.refuse("ac_mode", "some layers keep their activations; all or none can be forecast")
    on = on or mode is not None
    heads = sizes.get("num_attention_heads", 1)
    grouped = 1 - sizes.get("num_key_value_heads", heads) / heads
    each = round(count * (4 * grouped + 4 * full))
    if each and on:
        recipe.assume("layers are transformers'; torchtune's keep up to "
                      f"{in_gib(sizes, each, 'hidden_size')} more in the one at work")  # fmt: skip
    elif each:
        more = in_gib(sizes, each, "num_hidden_layers", "hidden_size")
        recipe.differ(f"layers are transformers', of which torchtune's keep about {more} more: "
                      "keys and values of every head, and of norms that train fp32")  # fmt: skip
    if recipe.flag("enable_activation_offloading"):
        if on:
            kept = in_gib(sizes, 2 * count, "num_hidden_layers", "hidden_size")
            recipe.differ("enable_activation_offloading: inputs of layers go to the host; the "
                          f"forecast keeps them, and is too high by at most {kept}")  # fmt: skip
        else:
            recipe.refuse("enable_activation_offloading", "it needs checkpointing")
    return {"gradient_checkpointing": True} if on else {}


def attention_of(recipe: Recipe, builder: str) -> dict[str, Any]:
    """Return the attention: sdpa, but for Gemma 2, whose scores torchtune computes itself."""
    if builder.startswith("gemma2"):
        recipe.differ("torchtune's Gemma 2 adds a mask to scores in fp32; the forecast is of "
                      "transformers' eager attention")  # fmt: skip
        return {"attention": "eager"}
    return {"attention": "sdpa"}
