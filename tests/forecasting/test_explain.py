"""What holds a peak, and what single changes would save."""

from __future__ import annotations

from pathlib import Path

import pytest
from bare import cells

from harness.errors import UserError
from harness.forecasting.cards import CARDS
from harness.forecasting.explain import explain
from harness.forecasting.forecaster import Forecaster
from harness.reporting.explained import explanation_tables

EAGER = ("methods=[lora]", "seeds=[0]", "train.attention=eager")


def test_holds_and_remedies_of_a_cell(tmp_path: Path) -> None:
    cell = cells(tmp_path, *EAGER)[0]
    explanation = explain(Forecaster(tmp_path / "cache", 2), cell, CARDS["rtx4090"])
    step = explanation.step
    changes = {remedy.change.split(" (")[0]: remedy.step for remedy in explanation.remedies}
    assert set(changes) == {
        "gradient_checkpointing: true", "attention: sdpa", "precision: bf16",
        "precision: bf16-weights", "optimizer: sgd", "layers: upper-half",
        "half the batch, accumulate twice as often",
    }  # fmt: skip
    peaks = [r.step.peak_allocated for r in explanation.remedies if r.step]
    assert peaks == sorted(peaks), "what saves most stands first"
    upper = changes["layers: upper-half"]
    assert upper is not None
    assert upper.peak_allocated < step.peak_allocated
    holds, remedies = explanation_tables(explanation)
    assert sum(hold.num_bytes for hold in holds.rows) == step.peak_allocated
    assert remedies.headers == ["change", "peak", "reserved", "saves"]
    assert all(row[-1].endswith("%") for row in remedies.texts)


def test_only_what_applies_is_offered(tmp_path: Path) -> None:
    cell = cells(
        tmp_path, "methods=[bitfit]", "seeds=[0]", "train.precision=bf16-weights",
        "train.gradient_checkpointing=true", "train.optimizer=sgd", "train.batch_size=1",
        "train.keep_outputs=true",
        "tasks=[{shape: {family: classification, length: 48}}]",
    )[0]  # fmt: skip
    explanation = explain(Forecaster(None, 2), cell, CARDS["rtx4090"])
    assert {remedy.change.split(" (")[0] for remedy in explanation.remedies} == {
        "keep_outputs: false", "layers: upper-half",
    }  # fmt: skip


def test_a_cell_that_cannot_be_forecast_has_no_explanation(tmp_path: Path) -> None:
    cell = cells(tmp_path, "methods=[{peft: {type: FROD}}]", "seeds=[0]")[0]
    with pytest.raises(UserError, match=r"peft-frod/s0: .*answers\.py"):
        explain(Forecaster(None, 1), cell, CARDS["l4"])
