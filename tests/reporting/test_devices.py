"""Cards and the CPU in tables: short heads, and what is true of each."""

from __future__ import annotations

from typing import Any

from harness.forecasting.result import AtValue, Forecast
from harness.reporting.devices import head_notes, heads, memory_note
from harness.reporting.forecasts import forecast_notes, forecast_table
from harness.reporting.swept import swept_tables
from harness.units import GIB

LONG = "custom:23.7:8.6:936:6:71.2:35.6"
FASTER = "custom:23.7:8.6:1008:6:71.2:35.6"


def entry(gpu: str, **more: Any) -> Forecast:
    facts = {"cell": "a/b/c/s0", "method": "lora", "model": "b", "task": "a", "stage": "whole",
             "steps": [(8, 64)], "peak_allocated": GIB, "at_rest": 1, "fits": "fits", "margin": GIB,
             "decides": "training", "split": {}}  # fmt: skip
    return Forecast.model_validate({**facts, "gpu": gpu, **more})


def test_a_custom_cards_speed_is_below_the_table_and_not_above_its_column() -> None:
    assert heads(["rtx4090", "custom:8:7.0", LONG]) == {
        "rtx4090": "rtx4090", "custom:8:7.0": "custom:8:7.0", LONG: "custom:23.7:8.6"
    }  # fmt: skip
    table = forecast_table([entry(LONG)])
    assert table.headers[-1] == "custom:23.7:8.6"
    assert f"{LONG} margin (B)" in table.figure_headers
    assert f"custom:23.7:8.6: {LONG}." in forecast_notes([entry(LONG)])


def test_cards_that_differ_in_their_speed_alone_keep_their_names() -> None:
    assert heads([LONG, FASTER]) == {LONG: LONG, FASTER: FASTER}
    assert head_notes([LONG, FASTER, "rtx4090"]) == []


def test_the_caption_is_true_of_the_devices_that_are_asked_for() -> None:
    card, both = memory_note([entry("rtx4090")]), memory_note([entry("rtx4090"), entry("cpu")])
    assert "CUDA context" in card
    assert "cpu" not in card
    assert "CUDA context" in both
    assert "cpu: margin of this machine's memory" in both


def test_a_sweep_on_the_cpu_shows_what_is_allocated() -> None:
    at = AtValue(value=8, fits="fits", allocated=2 * GIB, margin=GIB)
    (table, *_) = swept_tables([entry("cpu", sweeps={"batch": [at]})])
    assert table.texts[0][1].startswith("2.0")
