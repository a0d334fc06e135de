"""What freezing saves, forecast by stage: SAFE on BERT-large as its paper measured it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.forecasting.cards import CARDS
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.result import Forecast
from harness.suite.load import load_suite

# Share of LoRA's peak that a frozen prefix saves: eager attention, fp32, 16 x 384.
SAVED = {"25 % frozen": 22.7, "50 % frozen": 45.5, "75 % frozen": 68.2, "91.67 % frozen": 83.4}


def stages(attention: str, checkpointing: bool) -> dict[str, Forecast]:
    cells = [
        cell
        for cell in load_suite(Path("suites/safe_stages_shape.yaml")).cells()
        if cell.method_label == "safe"
        and cell.train.attention == attention
        and cell.train.gradient_checkpointing is checkpointing
    ]
    found = forecast_cells(Forecaster(None), cells, [CARDS["rtx4090"]])
    assert [entry.error for entry in found] == [None] * 5
    return {entry.stage: entry for entry in found}


def saved(found: dict[str, Forecast], figure: str = "peak_allocated") -> dict[str, float]:
    first = getattr(found["warm-up"], figure)
    return {name: 100 * (1 - getattr(entry, figure) / first) for name, entry in found.items()}


def test_a_frozen_prefix_saves_what_the_prototype_saw() -> None:
    found = saved(stages("eager", False))
    for stage, share in SAVED.items():
        assert found[stage] == pytest.approx(share, abs=0.5)


@pytest.mark.parametrize(("attention", "checkpointing"), [("sdpa", False), ("eager", True)])
def test_kernels_and_checkpointing_keep_the_saving(attention: str, checkpointing: bool) -> None:
    found = stages(attention, checkpointing)
    held = saved(found, "saved_activations")
    # Half of the layers keep nothing; what is above the layers stays.
    assert held["50 % frozen"] == pytest.approx(50, abs=3)
    assert held["91.67 % frozen"] == pytest.approx(91.67, abs=5)
    peaks = [entry.peak_allocated or 0 for entry in found.values()]
    assert peaks == sorted(peaks, reverse=True)
