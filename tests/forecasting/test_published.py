"""Forecasts against memory that others measured on real GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.forecasting.cards import CARDS
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.result import Forecast
from harness.suite.load import load_suite

GIB = 2**30
# SAFE, Tables 4 and 5: peak allocated on an RTX 4090, GiB.
SAFE = {"bert-base-uncased": 5.95, "bert-large-uncased": 15.79, "roberta-base": 11.51}
# The peft project, method_comparison/MetaMathQA on an L40S: maximum reserved over the run, and
# mean allocated after a step, in bytes.
PEFT = {
    "lora-rank32": (22292725760, 6924458053),
    "lora-rank32-dora": (24532484096, 6922109780),
    "prompt_tuning": (24394072064, 7081840784),
    "full-finetuning": (38868615168, 26064369608),
}


def forecasts(suite: str, card: str, only: set[str] | None = None) -> list[Forecast]:
    cells = load_suite(Path("suites") / suite).cells()
    chosen = [cell for cell in cells if only is None or cell.method_label in only]
    found = forecast_cells(Forecaster(None), chosen, [CARDS[card]])
    assert [entry.error for entry in found] == [None] * len(chosen)
    return found


def test_safe_on_squad() -> None:
    found = forecasts("safe_squad_shape.yaml", "rtx4090")
    for entry in found:
        assert entry.peak_allocated is not None
        assert entry.peak_allocated / GIB == pytest.approx(SAFE[entry.model], rel=0.005)
        assert entry.fits == "fits"
        assert sum(entry.split.values()) == entry.peak_allocated


def test_peft_on_metamathqa() -> None:
    found = forecasts("peft_metamathqa_shape.yaml", "l40s", set(PEFT))
    reserved = {f.method: f.peak_reserved for f in found if f.task == "peak"}
    at_rest = {f.method: f.at_rest for f in found if f.task == "steady"}
    for method, (peak, rest) in PEFT.items():
        assert at_rest[method] == pytest.approx(rest, rel=0.005)
        ours = (reserved[method] or 0) / (reserved["lora-rank32"] or 1)
        assert ours == pytest.approx(peak / PEFT["lora-rank32"][0], rel=0.02)
    assert reserved["lora-rank32"] == pytest.approx(PEFT["lora-rank32"][0], rel=0.01)
