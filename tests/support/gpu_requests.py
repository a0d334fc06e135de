"""Steps that are forecast first, and then run on a real GPU."""

from __future__ import annotations

from typing import Any

from asked import request

from harness.shapes import BatchShape
from methods.base import Stage

CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("bert-base-uncased", "classification", "lora", {"attention": "eager"}),
    ("bert-base-uncased", "classification", "full", {"attention": "sdpa"}),
    ("bert-base-uncased", "classification", "lora", {"precision": "bf16"}),
    ("bert-base-uncased", "classification", "lora", {"precision": "fp16"}),
    ("bert-base-uncased", "classification", "full", {"gradient_checkpointing": True}),
    ("gpt2-medium", "causal_lm", "lora", {"precision": "bf16-weights", "outputs": "kept"}),
    ("vit-base-patch16-224", "image", "lora", {}),
    ("gpt2-medium", "causal_lm", "full", {"loss": "chunked", "precision": "bf16"}),
    ("gpt2-medium", "causal_lm", "lora", {"loss": "chunked-output", "precision": "bf16-weights"}),
    ("gpt2-medium", "causal_lm", "lora", {"gradient_checkpointing": "reentrant"}),
]


# What recipes set: quantised bases, optimizers, losses, kernels; 32 rows of 128 tokens are above
# the rows up to which bitsandbytes multiplies without making a weight.
HALF: dict[str, Any] = {"precision": "bf16-weights"}
NF4: dict[str, Any] = {"weights": "nf4", "autocast": False}
RECIPES: list[tuple[str, dict[str, Any]]] = [
    ("lora", NF4),
    ("lora", NF4 | {"double_quant": True, "gradient_checkpointing": True}),
    ("lora", NF4 | {"gradient_checkpointing": "reentrant", "optimizer": "adamw-paged-8bit"}),
    ("lora", {"weights": "int8", "compute": "fp16", "autocast": False}),
    *(("full", HALF | {"optimizer": name}) for name in (
        "adamw", "adamw-plain", "adamw-fused", "adamw-8bit", "adamw-paged", "lion-8bit",
        "adamw-torchao-8bit",
    )),
    ("full", HALF | {"optimizer_in_backward": True, "clip": None}),
    ("lora", HALF | {"loss": "chunked"}),
    ("lora", HALF | {"loss": "liger"}),
    ("lora", HALF | {"liger_kernels": ("rms_norm", "swiglu", "rope")}),
]  # fmt: skip


QV = {"lora": {"r": 4, "targets": "qv"}}
STAGED: list[tuple[str, dict[str, Any], float, dict[str, Any]]] = [
    ("safe", {"over": QV, "tau": 0.5}, 0.5, {"attention": "eager"}),
    ("safe", {"over": QV, "tau": 0.5}, 0.5, {"gradient_checkpointing": True}),
    ("safe", {"over": QV, "tau": 0.5, "merge": True}, 0.75, {}),
    ("aflora", {"r": 4}, 0.0, {"attention": "eager"}),
    ("aflora", {"r": 4}, 1.0, {}),
    ("adapterdrop", {"over": QV}, 0.5, {}),
    ("houlsby", {}, 0.0, {}),
    ("meft", {"reversible": "all", "chunk": 4}, 0.0, {}),
    ("loraprune", {"r": 4}, 0.0, {}),
    ("loraprune", {"r": 4}, 0.5, {"attention": "eager"}),
    ("adalora", {}, 0.0, {}),
    ("sora", {}, 0.5, {}),
]


REQUESTS = (
    {
        f"{model}-{method}-{train}": request(
            model, method, family=family, steps=((16, 128),), **train
        )
        for model, family, method, train in CASES
    }
    | {
        f"{method}-{options}-{fraction:g}-{train}": request(
            "bert-base-uncased", method, options, steps=((16, 128),), **train
        ).model_copy(update={"stage": Stage(name="asked", fraction=fraction)})
        for method, options, fraction, train in STAGED
    }
    | {
        f"packed-{train}": request(
            "gpt2-medium", "lora", family="causal_lm", padding="packed", **train
        ).model_copy(update={"steps": (BatchShape(8, 512, padded=False, packed=32),)})
        for train in ({}, {"precision": "bf16-weights", "loss": "chunked"})
    }
    | {
        f"{method}-{train}": request(
            "smollm2-360m", method, family="causal_lm", steps=((32, 128),), **train
        )
        for method, train in RECIPES
    }
)
