"""How long outputs live: a forecast has it as a real step does; an older name means the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asked import forked, request
from pydantic import ValidationError
from real import real_run

from harness.errors import UserError
from harness.record import Record
from harness.simulation.fake import fake_run
from harness.simulation.target import CPU
from harness.suite.load import load_suite
from harness.suite.settings import TrainSettings

SUITE = "name: one\nmodel: {config: tiny-llama}\nmethods: [lora]\n"
SHAPE = "tasks: [{shape: {family: causal_lm, batch_size: 2, length: 8}}]\n"
ROWS, VOCABULARY = 4 * 32, 2000


def asked(outputs: str, **train: Any) -> Any:
    return request("tiny-llama", family="causal_lm", target=CPU, outputs=outputs, **train)


@pytest.mark.parametrize("outputs", ["dropped", "step", "kept"])
@pytest.mark.parametrize("train", [{}, {"accumulate": 2}, {"gradient_checkpointing": True}])
def test_a_forecast_has_the_life_of_a_real_step_s_outputs(
    outputs: str, train: dict[str, Any]
) -> None:
    forecast = forked(fake_run, asked(outputs, **train)).report
    real = real_run(asked(outputs, **train))
    assert abs(forecast.peak - real.peak) <= 64
    assert abs(forecast.at_rest - real.at_rest) <= 64


def test_the_three_lives_are_three() -> None:
    lives = ("dropped", "step", "kept")
    dropped, step, kept = (forked(fake_run, asked(outputs)).report for outputs in lives)
    logits = 4 * ROWS * VOCABULARY
    assert step.peaks["optimizer"] - dropped.peaks["optimizer"] >= logits, "alive in the optimizer"
    assert step.at_rest == dropped.at_rest, "dead with the step"
    assert kept.at_rest - step.at_rest >= logits, "alive until the next step"


def key_of(text: str, tmp_path: Path, *overrides: str) -> str:
    file = tmp_path / "one.yaml"
    file.write_text(SUITE + text)
    (cell,) = load_suite(file, overrides).cells()
    return cell.key


def test_an_older_name_is_the_same_cell(tmp_path: Path) -> None:
    plain = key_of(SHAPE, tmp_path)
    kept = key_of(SHAPE + "train: {outputs: kept}\n", tmp_path)
    step = key_of(SHAPE + "train: {outputs: step}\n", tmp_path)
    assert len({plain, kept, step}) == 3
    assert key_of(SHAPE + "train: {outputs: dropped}\n", tmp_path) == plain
    assert key_of(SHAPE + "train: {keep_outputs: false}\n", tmp_path) == plain
    assert key_of(SHAPE + "train: {keep_outputs: true}\n", tmp_path) == kept
    assert key_of(SHAPE + "grid: {keep_outputs: [true]}\n", tmp_path) == kept
    assert key_of(SHAPE, tmp_path, "train.keep_outputs=true") == kept
    flat = SHAPE.replace("}}", "}, keep_outputs: true}")
    assert key_of(flat, tmp_path) == kept


def test_what_the_older_name_never_meant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="older name of outputs; give one"):
        TrainSettings.model_validate({"keep_outputs": True, "outputs": "step"})
    with pytest.raises(UserError, match="true or false; now outputs: kept or dropped"):
        key_of(SHAPE + "train: {keep_outputs: 1}\n", tmp_path)
    with pytest.raises(UserError, match="true or false"):
        key_of(SHAPE + "grid: {keep_outputs: [yes, maybe]}\n", tmp_path)


@pytest.mark.parametrize(("old", "new"), [(False, {}), (True, {"outputs": "kept"})])
def test_an_older_record_reads_by_the_newer_name(old: bool, new: dict[str, str]) -> None:
    given = {
        "key": "k", "path": "a/b/c/s0", "suite": "one", "started": "",
        "cell": {"train": {"batch_size": 4, "keep_outputs": old}},
    }  # fmt: skip
    assert Record.model_validate(given).cell["train"] == {"batch_size": 4} | new
