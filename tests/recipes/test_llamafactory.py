"""LLaMA-Factory's configs as suites: what its keys come to, what is told and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.recipes import read
from harness.recipes.imported import Imported
from harness.recipes.llamafactory import suite_of
from harness.recipes.recipe import Recipe

FILES = Path(__file__).resolve().parents[1] / "data" / "recipes" / "llamafactory"
STEPS = {"accumulate": 1, "clip": 1.0}
RE = {"gradient_checkpointing": "reentrant"}  # LLaMA-Factory's default
FUSED = {"optimizer": "adamw-fused"}
OVER = {"weights": "bf16", "compute": "bf16", "autocast": True, "adapters": "fp32"}
FULL = {"weights": "fp32", "compute": "bf16", "autocast": True, "adapters": "same"}
PURE = {"weights": "bf16", "compute": "bf16", "autocast": False, "adapters": "same"}


def lora(r: int = 8, alpha: int = 16, targets: Any = "all-linear", **more: Any) -> dict[str, Any]:
    options = {"r": r, "lora_alpha": alpha, "target_modules": targets}
    return {"peft": {"type": "LORA", **options, **more}, "label": "lora"}


def task(batch: int, length: int, padding: str = "longest", **shape: Any) -> dict[str, Any]:
    said = {"family": "causal_lm", "batch_size": batch, "length": length, **shape}
    return {"shape": said | {"evaluation": False}, "padding": padding}


def quantised(weights: str, compute: str = "bf16", **more: Any) -> dict[str, Any]:
    return {"weights": weights, "compute": compute, "autocast": True, "adapters": "fp32",
            "unquantized": "compute", **more}  # fmt: skip


# File -> task, method, settings.
SAID: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    "lora": (task(1, 2048), lora(), OVER | FUSED | STEPS | RE | {"accumulate": 8}),
    "lora-evaluated": (
        {"shape": {"family": "causal_lm", "batch_size": 2, "length": 1024}, "padding": "longest"},
        lora(16, 16, ["q_proj", "v_proj"], lora_dropout=0.1, use_rslora=True, use_dora=True),
        OVER | FUSED | STEPS | RE | {"eval_batch_size": 8},
    ),
    "qlora": (
        task(1, 1024),
        lora(),
        quantised("nf4", "fp16", double_quant=True) | STEPS | RE
        | {"optimizer": "adamw-paged-8bit", "attention": "flash_attention_2"},
    ),
    "qlora-fp4": (
        task(4, 512),
        lora(),
        quantised("fp4", double_quant=False) | FUSED | STEPS | {"gradient_checkpointing": True},
    ),
    "int8": (task(4, 512), lora(), quantised("int8") | FUSED | STEPS),
    "full": (
        task(1, 2048), "full",
        FULL | FUSED | STEPS | RE | {"accumulate": 2, "attention": "sdpa"},
    ),
    "full-pure": (
        task(1, 1024), "full", PURE | STEPS | RE | {"optimizer": "adamw", "attention": "eager"},
    ),
    "full-in-the-config-s-type": (
        task(1, 1024), "full", FULL | FUSED | STEPS | RE | {"compute": "fp32", "autocast": False},
    ),
    "muon": (task(1, 1024), "full", FULL | STEPS | RE | {"optimizer": "adamw"}),
    "liger": (
        task(2, 4096), lora(),
        OVER | FUSED | STEPS | RE
        | {"loss": "liger", "liger_kernels": ["rms_norm", "swiglu", "rope"]},
    ),
    "pretraining": (task(4, 2048, "max", mask=False), lora(), OVER | FUSED | STEPS | RE),
    "neat-packing": (
        task(2, 2048, "packed"), lora(modules_to_save=["embed_tokens", "lm_head"]),
        OVER | FUSED | STEPS | RE | {"attention": "flash_attention_2"},
    ),
    "dpo": (
        task(2, 2048), lora(),
        OVER | FUSED | STEPS | RE
        | {"liger_kernels": ["rms_norm", "swiglu", "rope", "cross_entropy"]},
    ),
    "orpo-full": (task(2, 1024), "full", FULL | FUSED | STEPS | RE),
    "reward": (task(2, 1024), lora(), OVER | FUSED | STEPS | RE),
    "oft": (
        task(1, 2048),
        {"peft": {"type": "OFT", "oft_block_size": 32, "r": 0, "target_modules": "all-linear",
                  "module_dropout": 0.0}, "label": "oft"},
        OVER | FUSED | STEPS | RE,
    ),
    "images": (task(1, 2048), lora(), OVER | FUSED | STEPS | RE),
}  # fmt: skip
DIFFERS = {
    "lora": [],
    "qlora": ["upcast_layernorm: true: the norms stay in fp32"],
    "full": ["deepspeed: examples/deepspeed/ds_z3_config.json: the forecast is of one GPU"],
    "muon": ["use_muon: it keeps one state of a matrix"],
    "neat-packing": ["additional_target: trains in fp32 there"],
    "dpo": ["stage: dpo: the step is the policy's"],
    "orpo-full": ["stage: dpo: the step is the policy's"],
    "reward": ["stage: rm: a value head"],
    "images": ["image_max_pixels", "video_max_pixels", "ray_num_workers: 4", "use_unsloth: true"],
}
REFUSED = {
    "galore": [r":4: use_galore: true: there is no such optimizer here; adafactor"],
    "apollo": [r":4: use_apollo: true: there is no such optimizer here"],
    "not-here": [
        r":2: stage: ppo: its step generates answers",
        r":3: reward_model: .*: a second model",
        r":5: finetuning_type: freeze: some layers train",
        r":7: mixture_of_depths: convert: it changes the model",
        r":8: use_badam: true: one block of layers",
        r":9: fp8: true: products in fp8",
        r":10: torch_compile: true: compiled code",
        r":11: use_unsloth_gc: true: activations go to the host",
        r":12: optim: ademamix: three states a weight; nearest: adamw_torch",
    ],
    "quantised-already": [
        r":1: model_name_or_path: .*AWQ: a checkpoint that is quantised already",
        r":3: quantization_bit: 3: by hqq; 4 or 8 by bitsandbytes",
    ],
    "predict": [
        r"predict\.yaml: do_train: null: nothing trains",
        r":3: stage: dpo: the reference model, a second copy",
    ],
}


def read_file(name: str, **card: Any) -> Imported:
    return read("llamafactory", FILES / f"{name}.yaml", **card)


@pytest.mark.parametrize("name", SAID)
def test_a_config_is_the_suite_that_its_keys_say(name: str) -> None:
    given = read_file(name).suite
    wanted, method, train = SAID[name]
    assert given["tasks"] == [wanted]
    assert given["methods"] == [method]
    assert given["train"] == train


@pytest.mark.parametrize("name", DIFFERS)
def test_what_a_forecast_does_not_have_is_told(name: str) -> None:
    imported = read_file(name)
    assert len(imported.differs) == len(DIFFERS[name]), imported.differs
    for text in DIFFERS[name]:
        assert any(text in sentence for sentence in imported.differs), text
    assert not imported.unknown


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_forecast_is_refused_all_at_once(name: str) -> None:
    with pytest.raises(UserError) as caught:
        read_file(name)
    lines = str(caught.value).split("\n")
    assert len(lines) == len(REFUSED[name]), lines
    for line, pattern in zip(lines, REFUSED[name], strict=True):
        assert re.search(pattern, line), line


@pytest.mark.parametrize(
    ("more", "rows"),
    [
        ({"stage": "sft"}, 4),
        ({"stage": "dpo"}, 8),
        ({"stage": "sft", "neat_packing": True}, 4),
        ({"stage": "sft", "per_device_eval_batch_size": None}, 8),
        ({"stage": "sft", "eval_strategy": "no"}, None),
    ],
)
def test_batches_of_evaluations_are_rows_of_the_same_kind(
    more: dict[str, Any], rows: int | None
) -> None:
    said = {"do_train": True, "per_device_train_batch_size": 2, "per_device_eval_batch_size": 4,
            "val_size": 0.1, "eval_strategy": "steps", "bf16": True}  # fmt: skip
    suite = suite_of(Recipe("a.yaml", {**said, **more}))
    assert suite["train"].get("eval_batch_size") == rows
    assert suite["tasks"][0]["shape"].get("evaluation", True) is (rows is not None)


def test_slips_are_told_with_the_nearest_key() -> None:
    told = read_file("slips").departures()
    assert len(told) == 3
    for slip, near in (("lora_ranks (line 3", "'lora_rank'"), ("per_device_batch_size (line 4", ""),
                       ("attn (line 5", "")):  # fmt: skip
        assert any(slip in text and near in text for text in told), (slip, told)


def test_every_file_is_asked_for() -> None:
    there = {file.stem for file in FILES.glob("*.yaml")}
    assert len(there) >= 20
    assert there == {*SAID, *REFUSED, "slips"}
