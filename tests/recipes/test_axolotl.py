"""axolotl's configs as suites: what its keys come to, what is told and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.recipes import read
from harness.recipes.axolotl import suite_of
from harness.recipes.axolotl_keys import KEYS
from harness.recipes.imported import Imported
from harness.recipes.recipe import Recipe

FILES = Path(__file__).resolve().parents[1] / "data" / "recipes" / "axolotl"
BF16 = {"weights": "bf16", "compute": "bf16", "autocast": True}
FULL = BF16 | {"adapters": "same"}
OVER = BF16 | {"adapters": "fp32"}  # what peft makes of adapters
NF4 = {"weights": "nf4", "compute": "bf16", "autocast": True, "adapters": "fp32",
       "unquantized": "compute"}  # fmt: skip
FLASH = {"attention": "flash_attention_2"}
FUSED = {"optimizer": "adamw-fused"}  # axolotl's default
STEPS = {"accumulate": 1, "clip": 1.0}
RE = {"gradient_checkpointing": "reentrant"}


def lora(r: int, alpha: int, targets: Any = "all-linear", **more: Any) -> dict[str, Any]:
    options = {"r": r, "lora_alpha": alpha, "lora_dropout": 0.0, "target_modules": targets}
    return {"peft": {"type": "LORA", **options, **more}, "label": "lora"}


def task(batch: int, length: int, padding: str = "longest", **shape: Any) -> dict[str, Any]:
    said = {"family": "causal_lm", "batch_size": batch, "length": length, **shape}
    return {"shape": {**said, **({} if "evaluation" in shape else {"evaluation": False})},
            "padding": padding}  # fmt: skip


def evaluated(batch: int, length: int, padding: str = "longest") -> dict[str, Any]:
    said = task(batch, length, padding)
    del said["shape"]["evaluation"]
    return said


# File -> task, method, settings.
SAID: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    "lora": (
        evaluated(2, 2048),
        lora(16, 32, lora_dropout=0.05),
        OVER | RE | STEPS | {"optimizer": "adamw", "accumulate": 4},
    ),
    "qlora-packed": (
        task(2, 4096, "packed"),
        lora(32, 16, ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
        NF4 | FLASH | STEPS
        | {"double_quant": True, "optimizer": "adamw-paged-8bit", "accumulate": 8}
        | {"gradient_checkpointing": True},
    ),
    "full": (
        task(1, 8192, "max"),
        "full",
        FULL | FUSED | FLASH | RE | {"accumulate": 16, "clip": 0.5, "empty_cache_steps": 10},
    ),
    "int8": (
        task(4, 1024),
        lora(8, 16, ["q_proj", "v_proj"]),
        STEPS | {"optimizer": "adamw-8bit", "weights": "int8", "compute": "fp16"}
        | {"autocast": True, "adapters": "fp32", "unquantized": "compute"},
    ),
    "fp32": (
        task(8, 512),
        "full",
        STEPS | {"weights": "fp32", "compute": "tf32", "autocast": False, "adapters": "same"}
        | {"attention": "sdpa", "optimizer": "sgd", "momentum": 0.0},
    ),
    "dora-embeddings": (
        task(1, 1024),
        lora(64, 128, ["q_proj", "v_proj"], modules_to_save=["embed_tokens", "lm_head"],
             use_dora=True, use_rslora=True),
        FULL | FUSED | STEPS | {"attention": "eager"},
    ),
    "liger": (
        task(4, 2048),
        "full",
        FULL | FUSED | STEPS | {"attention": "sdpa", "loss": "liger"}
        | {"liger_kernels": ["rms_norm", "rope", "swiglu"]},
    ),
    "liger-without-its-plugin": (task(1, 2048), "full", FULL | FUSED | STEPS),
    "cut-cross-entropy": (
        task(1, 2048),
        lora(16, 32),
        NF4 | STEPS | {"double_quant": False, "optimizer": "adamw-torchao-4bit", "state_block": 256}
        | {"loss": "chunked", "loss_chunks": 64},
    ),
    "chunked": (
        task(1, 4096),
        "full",
        FULL | FUSED | STEPS | {"loss": "chunked", "loss_chunks": 16},
    ),
    "dpo": (
        task(4, 4096),
        lora(32, 16),
        OVER | FUSED | FLASH | STEPS | {"gradient_checkpointing": True},
    ),
    "orpo": (task(2, 2048), "full", FULL | STEPS | {"optimizer": "adamw-8bit"}),
    "reward-model": (
        task(4, 512, "max", family="classification", num_labels=1),
        "full",
        FULL | FUSED | STEPS,
    ),
    "images": (
        task(1, 2048),
        lora(8, 16, r"model.(language_model.)?layers.[\d]+.(mlp|self_attn)"
                    r".(up|down|gate|q|k|v|o)_proj"),
        OVER | FUSED | STEPS,
    ),
    "experts": (
        task(1, 1024),
        lora(8, 16, ["q_proj", "v_proj"], target_parameters=["mlp.experts.gate_up_proj"]),
        OVER | FUSED | STEPS,
    ),
    "other-kernels": (
        task(1, 2048),
        lora(16, 32),
        OVER | FLASH | STEPS | {"optimizer": "adamw-torchao-fp8"},
    ),
    "all-that-is-text": (
        task(1, 2048, "packed"),
        "full",
        FULL | FLASH | STEPS | {"optimizer": "adamw-paged", "gradient_checkpointing": True},
    ),
}  # fmt: skip
# File -> what the forecast does not have of it, by words of each sentence.
DIFFERS = {
    "lora": ["lora_*_kernel are on by themselves"],
    "qlora-packed": ["lora_*_kernel are on by themselves"],
    "full": [],
    "dora-embeddings": [],
    "liger": ["fsdp_config: the forecast is of one GPU"],
    "cut-cross-entropy": ["cut cross-entropy makes no logits", "lora_*_kernel"],
    "chunked": ["embeddings, norms and head in fp32", "deepspeed: the forecast is of one GPU",
                "offloaded to the host stays on the GPU"],
    "dpo": ["rl: dpo: the step is the policy's"],
    "orpo": ["embeddings, norms and head in fp32", "rl: orpo: the step is the policy's"],
    "reward-model": ["embeddings, norms and head in fp32", "a pair is two rows"],
    "images": ["processor_type: AutoProcessor: the forecast is of text", "lora_*_kernel"],
    "experts": ["expert_parallel_size: the forecast is of one GPU", "lora_*_kernel",
                "model_config.output_router_logits", "use_scattermoe", "experts_implementation"],
    "other-kernels": ["fused_attn_kernel", "tiled_mlp", "neftune_noise_alpha", "lora_model_dir",
                      "lora_*_kernel"],
    "all-that-is-text": ["flex_attention"],
}  # fmt: skip
REFUSED = {
    "not-here": [
        r"not-here\.yml:7: gradient_checkpointing: offload: activations offloaded",
        r"yml:8: torch_compile: true: what a compiled step",
        r"yml:9: qat: .*fake quantisation",
        r"yml:11: optimizer: dion: there is no such optimizer here; allowed: adafactor",
        r"yml:12: rl: grpo: its step generates answers",
        r"yml:13: plugins: .*what axolotl\.integrations\.diffusion\.DiffusionPlugin changes",
        r"yml:14: layer_offloading: true: what is offloaded",
    ],
    "a-part": [
        r"a-part\.yml:2: unfrozen_parameters: .*a part of the model trains",
        r"yml:5: lisa_n_layers: 4: a part of the model trains",
    ],
    "no-such-values": [r"no-such-values\.yml:5: fp16: maybe: true or false is wanted"],
}


def read_file(name: str, **card: Any) -> Imported:
    return read("axolotl", FILES / f"{name}.yml", **card)


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


def test_slips_are_told_with_the_nearest_key() -> None:
    told = read_file("slips").departures()
    for slip, near in (
        ("adpter (line 2", "'adapter'"),
        ("microbatch_size (line 3", "'micro_batch_size'"),
        ("fsdp_config.offload_param (line 6", "'fsdp_config.offload_params'"),
    ):
        assert any(slip in text and near in text for text in told), (slip, told)


def test_auto_follows_the_card() -> None:
    assert read_file("lora", has_bf16=True).suite["train"]["weights"] == "bf16"
    turing = read_file("lora", has_bf16=False)
    assert {k: turing.suite["train"][k] for k in ("weights", "compute")} == {
        "weights": "fp16", "compute": "fp16",
    }  # fmt: skip
    assert any("bf16: auto is no bf16" in text for text in turing.assumed)
    with pytest.raises(UserError, match="bf16: auto is bf16 on some of the cards"):
        read_file("lora", has_bf16=None)


def test_muon_is_adamw_here_and_that_is_told() -> None:
    recipe = Recipe("a.yml", {"base_model": "gpt2", "optimizer": "muon", "adapter": "lora"})
    assert suite_of(recipe)["train"]["optimizer"] == "adamw"
    assert any("optimizer: muon: it keeps one state" in text for text in recipe.differs)


def test_every_file_is_asked_for() -> None:
    there = {file.stem for file in FILES.glob("*.yml")}
    assert len(there) >= 20
    assert there == {*SAID, *REFUSED, "slips"}


def test_no_key_is_said_to_be_two_things() -> None:
    idle = [*KEYS.acts.split(), *KEYS.inert.split()]
    names = [*idle, *KEYS.differs, *KEYS.refused]
    assert len(names) == len(set(names)), sorted({n for n in names if names.count(n) > 1})
