"""What cells ask of devices, by their forecasts."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import suite_file

from harness.engines.needs import PROCESS, needs_of
from harness.forecasting.cards import find_card
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.suite.load import load_suite


class Counting(Forecaster):
    """Notes how many steps it is asked for."""

    asked = 0

    def ask(self, questions):  # type: ignore[no-untyped-def]
        self.asked += len({one.request.key() for one in questions})
        return super().ask(questions)


def test_needs_are_those_of_the_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = load_suite(suite_file(tmp_path, "bitfit, full"), ["seeds=[0,1,2]"]).cells()
    cards = [find_card("rtx4090"), find_card("cpu:1")]
    forecaster = Counting(tmp_path / "cache", workers=1)
    needs = needs_of(cells, cards, forecaster)
    assert forecaster.asked == 4, "two methods on two kinds of devices, whatever the seed"
    assert needs[:3] == [needs[0]] * 3
    assert needs[3:] == [needs[3]] * 3
    assert needs[0].flops is not None
    assert needs[3].flops is not None
    assert needs[0].flops < needs[3].flops, "bitfit leaves the gradients of weights out"
    gpu, cpu = forecast_cells(forecaster, [cells[3]], cards, timed=False)
    assert needs[3].on("rtx4090") == gpu.device
    assert cpu.device is not None
    assert needs[3].on("cpu:1") == cpu.device + PROCESS
    assert needs[3].on("a100-80") is None
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    [expandable] = needs_of(cells[3:4], cards[:1], forecaster)
    assert gpu.peak_expandable is not None
    assert expandable.on("rtx4090") == gpu.peak_expandable + cards[0].context


def test_what_cannot_be_forecast_is_not_known(tmp_path: Path) -> None:
    suite = suite_file(tmp_path, "{lora: {targets: [nonsense]}}, full")
    cells = load_suite(suite).cells()
    unknown, known = needs_of(cells, [find_card("rtx4090")], Forecaster(None, workers=1))
    assert (unknown.memory, unknown.flops, unknown.devices) == ((), None, 1)
    assert known.on("rtx4090")
