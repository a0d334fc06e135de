"""Outputs that live until the next step are in what is measured, as in what is forecast."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import silent

from harness.cell import run_cell
from harness.record import Record
from harness.suite.load import load_suite

SUITE = """\
name: own
model: {config: MODEL}
tasks: [{name: own, kind: causal_lm, path: ROWS, text: text, eval: 0.25}]
methods: [full]
train: {batch_size: 4, epochs: 2, max_steps: 2, max_length: 24, outputs: OUTPUTS}
"""


def ran(folder: Path, outputs: str, *overrides: str, model: str = "tiny-gpt2") -> Record:
    rows = [f"the {number}th of these rows has words of its own" for number in range(100)]
    (folder / "rows.csv").write_text("\n".join(["text", *rows]) + "\n")
    file = folder / "own.yaml"
    values = {"MODEL": model, "ROWS": str(folder / "rows.csv"), "OUTPUTS": outputs}
    text = SUITE
    for name, value in values.items():
        text = text.replace(name, value)
    file.write_text(text)
    (cell,) = load_suite(file, overrides).cells()
    record = run_cell(cell, silent)
    assert record.outcome == "ok", record.message
    return record


@pytest.mark.parametrize("outputs", ["dropped", "step", "kept"])
@pytest.mark.parametrize(
    ("model", "overrides"),
    [
        ("tiny-gpt2", ("train.label_smoothing=0.1",)),
        ("tiny-llama", ("train.accumulate=2",)),
    ],
)
def test_the_forecast_of_a_run_is_its_ledger(
    tmp_path: Path, outputs: str, model: str, overrides: tuple[str, ...]
) -> None:
    record = ran(tmp_path, outputs, *overrides, model=model)
    assert record.forecast is not None
    assert record.memory is not None
    (foreseen,) = record.forecast.stages.values()
    (phase,) = record.memory.phases
    assert abs(foreseen.peak_allocated - record.memory.peak_training) <= 64
    assert abs((foreseen.peak_evaluation or 0) - (record.memory.peak_evaluation or 0)) <= 64
    for category, size in foreseen.split.items():
        assert abs(size - phase.split[category]) <= 64, category
    assert all(abs(foreseen.peaks[part] - phase.peaks[part]) <= 64 for part in phase.peaks)


def test_of_epochs_of_one_step_the_second_is_measured(tmp_path: Path) -> None:
    """The first one has no optimizer state yet."""
    record = ran(tmp_path, "dropped", "train.accumulate=8")
    assert record.forecast is not None
    assert record.memory is not None
    (foreseen,), (phase,) = record.forecast.stages.values(), record.memory.phases
    assert (phase.steps, phase.audited_steps) == (2, [0, 1])
    assert abs(foreseen.peak_allocated - phase.peak_allocated) <= 64
