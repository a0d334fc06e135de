"""What is typed as a question, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.errors import UserError
from harness.fitting.asking import Typed, wanted_of
from harness.fitting.candidates import candidates_of, cells_of
from harness.models.attention import FLASH

AXOLOTL = {
    "base_model": "meta-llama/Llama-3.2-1B", "adapter": "qlora", "load_in_4bit": True,
    "lora_r": 32, "lora_alpha": 16, "lora_target_linear": True, "sequence_len": 1024,
    "micro_batch_size": 2, "gradient_accumulation_steps": 4, "bf16": True,
    "optimizer": "adamw_bnb_8bit", "gradient_checkpointing": True, "learning_rate": 1e-4,
    "pad_to_sequence_len": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            Typed("llama-2-7", "rtx4090", 16),
            "MODEL llama-2-7: neither a folder, nor",
        ),
        (Typed("llama-2-7", "rtx4090", 16), "did you mean 'llama-2-7b'"),
        (Typed("llama-2-7b", "rtx4091", 16), "--gpu rtx4091: unknown card; did you mean 'rtx4090'"),
        (
            Typed("llama-2-7b", "t4", 16, methods="lorra"),
            "lorra: unknown method; did you mean 'lora'",
        ),
        (Typed("llama-2-7b", "t4", 16, methods=","), "--methods: name at least one"),
        (
            Typed("llama-2-7b", "t4", 16, methods="peft:LORRA"),
            "--methods peft:LORRA: ",
        ),
        (Typed("llama-2-7b", "t4", 16, methods="peft:LORRA"), "type 'LORRA'; did you mean 'LORA'"),
        (Typed("llama-2-7b", "t4,a6000", 16), "--gpu t4,a6000: one card; fit answers for each"),
        (Typed("llama-2-7b", "t4", 16, task="wrong"), "--task wrong: unknown task; allowed: "),
        (Typed("bert-base", "t4", 16), "did you mean 'bert-base-cased' or 'bert-base-uncased'"),
        (
            Typed("llama-2-7b", "t4", 16, task="causal"),
            "causal: unknown task; did you mean 'caus",
        ),
        (Typed("llama-2-7b", "t4", 16, trainer="axolotl"), "--from axolotl: llama-2-7b is no file"),
        (Typed("tests", "t4", 16), "MODEL tests: a folder without config.json"),
        (Typed("/nonexistent", "t4", 16), "MODEL /nonexistent: no such folder or file"),
        (Typed("./config.yml", "t4", 16), "MODEL ./config.yml: no such folder or file"),
        (Typed("a/b/llama-2-7", "t4", 16), "did you mean 'llama-2-7b'"),
    ],
)
def test_a_mistake_names_the_option_its_value_and_the_nearest(typed: Typed, said: str) -> None:
    with pytest.raises(UserError) as caught:
        wanted_of(typed)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.max_length=64", "override train.max_length=64: --length says it"),
        ("train.batch_size=4", "--batch says it"),
        ("model.config=tiny-bert", "fit takes training settings"),
        ("train.atention=sdpa", "atention"),
    ],
)
def test_only_settings_stand_behind_the_model(override: str, said: str) -> None:
    wanted = wanted_of(Typed("tiny-llama", "rtx4090", 8, overrides=[override]))
    with pytest.raises(UserError) as caught:
        cells_of(wanted, candidates_of(wanted.kinds[0], wanted))
    assert said in str(caught.value)


def test_methods_are_searched_over_16_and_4_bits_as_the_card_has_them() -> None:
    def titles(gpu: str, methods: str | None = None) -> list[str]:
        return [
            kind.title for kind in wanted_of(Typed("llama-2-7b", gpu, 16, methods=methods)).kinds
        ]

    assert titles("rtx4090") == ["lora bf16", "lora nf4", "full bf16"]
    assert titles("t4") == ["lora fp16", "lora nf4", "full fp32"]
    assert titles("t4", "qlora") == ["lora nf4"]
    assert titles("cpu") == ["lora bf16", "full bf16"]
    assert titles("a6000", "peft:vera") == ["peft:vera bf16", "peft:vera nf4"]


def test_a_model_of_the_hub_is_forecast_by_the_catalogue_and_run_from_the_hub() -> None:
    found = wanted_of(Typed("Qwen/Qwen2.5-7B-Instruct", "rtx4090", 16)).model
    assert found.forecast == {"config": "qwen2.5-7b", "label": "Qwen2.5-7B-Instruct"}
    assert found.run == {"hub": "Qwen/Qwen2.5-7B-Instruct"}
    assert wanted_of(Typed("llama-2-7b", "t4", 16)).model.run == {"hub": "meta-llama/Llama-2-7b-hf"}


def test_a_setting_behind_the_model_is_searched_no_more() -> None:
    wanted = wanted_of(Typed("tiny-llama", "rtx4090", 8, overrides=["train.attention=sdpa"]))
    some = candidates_of(wanted.kinds[0], wanted)
    assert len(some) == 4
    assert {cell.train.attention for cell in cells_of(wanted, some)} == {"sdpa"}
    free = wanted_of(Typed("tiny-llama", "rtx4090", 8))
    cells = cells_of(free, candidates_of(free.kinds[0], free))
    assert {cell.train.attention for cell in cells} == {"auto", FLASH}
    old = wanted_of(Typed("tiny-llama", "t4", 8))
    assert len(candidates_of(old.kinds[0], old)) == 4  # no flash-attn before Ampere


@pytest.mark.parametrize("gpu", ["rtx4090", "t4", "custom:24:3.5"])
def test_what_a_suite_would_refuse_is_no_candidate(gpu: str) -> None:
    """Autocast to fp16, before Ampere, has a scaler, and a step in backward none."""
    wanted = wanted_of(Typed("tiny-llama", gpu, 8, methods="full"))
    some = candidates_of(wanted.kinds[0], wanted)
    early = [one for one in some if dict(one.settings)["optimizer_in_backward"]]
    assert bool(early) == (gpu == "rtx4090")
    assert len(cells_of(wanted, some)) == len(some)
    assert len(some) - len(early) == (24 if gpu == "rtx4090" else 12)


def test_a_trainers_config_is_the_plain_candidate(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text(yaml.safe_dump(AXOLOTL))
    wanted = wanted_of(Typed(str(file), "rtx4090", 16))
    assert (wanted.length, wanted.batch, wanted.family) == (1024, 8, "causal_lm")
    [kind] = wanted.kinds
    plain = candidates_of(kind, wanted)[0].in_passes(kind.passes)
    assert plain is not None
    assert plain.words == []
    [cell] = cells_of(wanted, [plain])
    train = cell.train
    assert (train.batch_size, train.accumulate, train.optimizer) == (2, 4, "adamw-8bit")
    assert (train.gradient_checkpointing, train.dtypes.weights) == ("reentrant", "nf4")
    assert cell.method_options["r"] == 32
    assert any("catalogue's llama-3.2-1b" in note for note in wanted.notes)
    other = candidates_of(kind, wanted)[-1]
    assert "no checkpointing" not in other.words  # checkpointing is there already


def test_a_file_that_no_trainer_wrote_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text("name: x\n")
    with pytest.raises(UserError, match="none of its keys tells whose config it is"):
        wanted_of(Typed(str(file), "rtx4090", 16))
