"""What a suite says of attention, and what a forecast makes of it."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
from asked import LAYERS, SM86, forked, request
from bare import cells
from real import real_run
from tiny_models import tiny_config

from harness.errors import UserError
from harness.forecasting.cards import CARDS
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.models.spec import ModelSpec
from harness.reporting.forecasts import forecast_notes
from harness.simulation.step_forecast import StepForecast, forecast
from harness.simulation.target import CPU, Target
from harness.training.kernels import pinned_kernel

HALF: dict[str, Any] = {"precision": "bf16-weights"}
FLASH = {"attention": "flash_attention_2", **HALF}


def foreseen(model: str, family: str = "classification", **asked: Any) -> StepForecast:
    step: StepForecast = forked(forecast, request(model, family=family, **asked))
    return step


@pytest.mark.parametrize(("model", "own"), [("tiny-bert", "sdpa"), ("tiny-deberta-v2", "eager")])
def test_auto_is_what_the_model_has(model: str, own: str) -> None:
    auto, named = foreseen(model, attention="auto"), foreseen(model, attention=own)
    assert auto.attention == named.attention == own
    assert auto.peak_allocated == named.peak_allocated


def test_a_forecast_says_which_kernels_it_took() -> None:
    assert foreseen("tiny-bert").kernels == ["efficient"]
    assert foreseen("tiny-bert", mask=False, **HALF).kernels == ["flash"]
    assert foreseen("tiny-bert", attention="eager").kernels == []


@pytest.mark.parametrize(
    ("model", "family"),
    [("tiny-bert", "classification"), ("tiny-llama", "causal_lm"), ("tiny-bart", "seq2seq")],
)
def test_without_padding_the_package_needs_what_torch_s_flash_needs(
    model: str, family: str
) -> None:
    """It is the same kernel; Llama's has grouped queries, BART's attends across."""
    package = foreseen(model, family, mask=False, **FLASH)
    own = foreseen(model, family, mask=False, attention={"sdpa": "flash"}, **HALF)
    assert own.kernels == ["flash"]
    for name in ("peak_allocated", "at_rest", "saved_activations", "flops_step"):
        assert getattr(package, name) == getattr(own, name), name


@pytest.mark.parametrize("model", ["tiny-bert", "tiny-llama"])
def test_with_padding_the_package_keeps_where_tokens_are_in_every_layer(model: str) -> None:
    """Gathered queries, keys and values take the place of the padded ones."""
    family = "causal_lm" if model == "tiny-llama" else "classification"
    padded, whole = (foreseen(model, family, mask=mask, **FLASH) for mask in (True, False))
    places, ends = 8 * 4 * 32, 512  # int64 of 4 x 32 tokens; five int32, in a block
    assert padded.saved_activations - whole.saved_activations == LAYERS * (places + ends)
    assert padded.flops_step == whole.flops_step


@pytest.mark.parametrize("model_type", ["falcon", "gpt_neo"])
def test_types_that_import_the_package_s_functions_where_it_is_there(
    model_type: str, tmp_path: Path
) -> None:
    """Their modules lack a name where it is not installed, as here."""
    tiny_config(model_type).save_pretrained(tmp_path)
    asked = request("tiny-llama", family="causal_lm", mask=False, **FLASH)
    model = ModelSpec(path=str(tmp_path))
    step = forked(forecast, asked.model_copy(update={"model": model}))
    assert step.attention == "flash_attention_2"


@pytest.mark.parametrize(
    "asked", [{"steps": ((1, 32),)}, {"gradient_checkpointing": True}, {"precision": "fp16"}]
)
def test_the_package_is_forecast_with_every_setting(asked: dict[str, Any]) -> None:
    step = foreseen("tiny-llama", "causal_lm", **{**FLASH, **asked})
    assert (step.attention, step.kernels) == ("flash_attention_2", [])


@pytest.mark.parametrize(
    ("model", "target", "told"),
    [
        ("tiny-deberta-v2", SM86, "does not support Flash Attention 2.*train.attention=auto"),
        ("tiny-bert", CPU, "no kernels for cpu"),
        ("tiny-bert", Target(kind="cuda", capability=(7, 0)), "this card; it needs capability 8.0"),
    ],
)
def test_where_the_package_cannot_run_a_forecast_says_so(
    model: str, target: Target, told: str
) -> None:
    with pytest.raises(UserError, match=f"train.attention = flash_attention_2.*{told}"):
        foreseen(model, target=target, **FLASH)


@pytest.mark.parametrize("kernel", ["efficient", "math", "cudnn"])
def test_a_pinned_kernel_is_the_one_that_is_forecast(kernel: str) -> None:
    step = foreseen("tiny-bert", attention={"sdpa": kernel}, **HALF)
    assert (step.attention, step.kernels) == (f"sdpa-{kernel}", [kernel])


def test_pinned_kernels_differ_in_memory() -> None:
    peaks = [foreseen("tiny-bert", attention={"sdpa": kernel}).peak_allocated
             for kernel in ("efficient", "math")]  # fmt: skip
    assert peaks[0] < peaks[1]


@pytest.mark.parametrize(
    ("kernel", "model", "asked", "told"),
    [
        ("flash", "tiny-bert", HALF, "takes no mask, on this card"),
        ("flash", "tiny-bert", {"mask": False}, "takes no float32"),
        ("cudnn", "tiny-bert", {}, "takes no float32"),
        ("efficient", "tiny-llama", {"mask": False, **HALF}, "takes no grouped queries"),
        ("efficient", "tiny-bert", {"target": CPU}, "without a GPU sdpa has the kernels flash"),
        ("flash", "tiny-bert", {"target": CPU}, "takes no dropout, on cpu"),
    ],
)
def test_a_kernel_that_cannot_run_is_refused(
    kernel: str, model: str, asked: dict[str, Any], told: str
) -> None:
    family = "causal_lm" if model == "tiny-llama" else "classification"
    with pytest.raises(UserError, match=f"train.attention.*{told}"):
        foreseen(model, family, attention={"sdpa": kernel}, **asked)


@pytest.mark.parametrize(
    ("model", "kernel", "mask"),
    [
        ("tiny-bert", "math", True),
        ("tiny-llama", "math", True),
        ("tiny-llama", "flash", True),
        ("tiny-llama", "flash", False),  # grouped queries, which the CPU's kernel takes
    ],
)
def test_a_pinned_kernel_acts_in_a_real_step_as_in_its_forecast(
    model: str, kernel: str, mask: bool
) -> None:
    family = "causal_lm" if model == "tiny-llama" else "classification"
    asked = request(model, family=family, target=CPU, mask=mask, attention={"sdpa": kernel})
    step = forked(forecast, asked)
    with pinned_kernel(asked.train.attention):
        real = real_run(asked)
    assert abs(step.peak_allocated - real.peak) <= 64
    assert abs(step.saved_activations - real.saved) <= 64


def test_a_real_step_that_needs_another_kernel_says_so() -> None:
    """BERT has dropout, which the CPU's fused kernel does not take."""
    asked = request("tiny-bert", target=CPU, attention={"sdpa": "flash"})
    with (
        warnings.catch_warnings(action="always"),
        pytest.raises(
            UserError,
            match=r"train.attention = \{sdpa: flash\}: .*here: Both fused kern"
            "els do not support non-zero dropout; attention: sdpa",
        ),
        pinned_kernel(asked.train.attention),
    ):
        real_run(asked)


def test_without_a_word_of_torch_s_it_says_what_decides() -> None:
    asked = request("tiny-bert", target=CPU, attention={"sdpa": "flash"})
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(UserError, match="cannot run here: by type, mask, size of heads, dropout"),
        pinned_kernel(asked.train.attention),
    ):
        real_run(asked)


def test_a_forecast_tells_what_it_assumes_of_padding(tmp_path: Path) -> None:
    flash = "train={attention: flash_attention_2, precision: bf16-weights}"
    told = []
    for mask in ("true", "false"):
        shape = f"tasks=[{{shape: {{family: classification, batch_size: 2, mask: {mask}}}}}]"
        [cell] = cells(tmp_path, shape, "methods=[lora]", "seeds=[0]", "train.max_length=16", flash)
        [entry] = forecast_cells(Forecaster(None, 1), [cell], [CARDS["l4"]])
        assert entry.choices["attention"] == "flash_attention_2"
        assert entry.kernels == []
        told.append("padding is counted as tokens" in " ".join(entry.assumptions))
    assert told == [True, False]


def test_a_report_names_the_attention_that_auto_came_to_and_its_kernels(tmp_path: Path) -> None:
    [cell] = cells(tmp_path, "methods=[lora]", "seeds=[0]")
    assert cell.train.attention == "auto"
    found = forecast_cells(Forecaster(None, 1), [cell], [CARDS["l4"]])
    told = " ".join(forecast_notes(found))
    assert "attention sdpa" in told
    assert "Kernels of sdpa: efficient." in told


@pytest.mark.parametrize(
    ("card", "attention", "told"),
    [
        ("rtx4090", "{sdpa: flash}", r"takes no mask, on rtx4090 \(capability 8.9\)"),
        ("rtx3090", "{sdpa: flash}", r"takes no mask, on rtx3090 \(capability 8.6\)"),
        ("t4", "flash_attention_2", r"no kernels for t4 \(capability 7.5\)"),
    ],
)
def test_an_error_names_the_card_that_was_asked_for(
    tmp_path: Path, card: str, attention: str, told: str
) -> None:
    shape = "tasks=[{shape: {family: classification, batch_size: 2, mask: true}}]"
    train = f"train={{attention: {attention}, precision: bf16-weights}}"
    [cell] = cells(tmp_path, shape, "methods=[lora]", "seeds=[0]", "train.max_length=16", train)
    [entry] = forecast_cells(Forecaster(None, 1), [cell], [CARDS[card]])
    assert re.search(told, entry.error or "")
