"""The public table: what its cells say, and that the page and its rows say the same."""

from __future__ import annotations

import csv
from pathlib import Path

import card_table
import pytest

from harness.forecasting.result import Forecast
from harness.forecasting.step_time import MeanStep
from harness.timing.bar import Bar
from harness.units import GIB

ROOT = Path(__file__).parents[1]


def entry(model: str, size: float, fits: str, margin: float, **step: object) -> Forecast:
    """Return a forecast of full fine-tuning on an RTX 4090."""
    near = bool(step.pop("near", False))
    bar = Bar(binds="device", near=near, ratio=0.05, absolute=0.1)
    time = MeanStep.model_validate({
        "seconds": 0.5, "median": 0.5, "host": 0.1, "device": 0.5, "tokens": 2048, "examples": 1,
        "tokens_per_second": 4096, "bar": bar, **step,
    })  # fmt: skip
    return Forecast.model_validate({
        "cell": f"text/{model}/full/s0", "method": "full", "model": model, "task": "text",
        "gpu": "rtx4090", "stage": "training", "steps": [(1, 2048)], "fits": fits,
        "margin": int(margin * GIB), "total_parameters": int(size * 1e9), "step_time": time,
    })  # fmt: skip


def test_a_cell_says_time_room_and_doubt() -> None:
    shown = card_table.shown
    assert shown(entry("a", 1, "fits", 8.25)) == "0.50 s (+8.2)"
    assert shown(entry("a", 1, "fits", 8.25, near=True)) == "≈0.50 s (+8.2)"
    assert shown(entry("a", 1, "tight", 0.3, at_least=["aten::x"])) == ">= 0.50 s (tight +0.3)"
    assert shown(entry("a", 1, "does not fit", -41.2)) == "no (-41.2)"


def test_the_largest_that_fits_is_the_one_with_most_parameters() -> None:
    entries = [entry("small", 1, "fits", 9), entry("mid", 3, "fits", 2),
               entry("large", 7, "tight", 0.1)]  # fmt: skip
    assert list(card_table.names(entries)) == ["small", "mid", "large"]
    first = card_table.glance(entries).splitlines()[2]
    assert [cell.strip() for cell in first.split("|")[2:5]] == ["none", "none", "mid"]


@pytest.mark.parametrize("method", card_table.METHODS)
def test_the_page_says_what_its_rows_say(method: str) -> None:
    with (ROOT / card_table.ROWS).open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["method"] == method]
    page = (ROOT / card_table.PAGE).read_text()
    table = page.split(f"## {card_table.METHODS[method]}\n\n")[1].split("\n\n")[0]
    lines = [line.split("|")[1:-1] for line in table.splitlines()[2:]]
    assert len(lines) == 20
    assert len(rows) == 20 * len(card_table.ON)
    for name, *cells in lines:
        model = name.strip().partition(",")[0]
        own = {row["card"]: row for row in rows if row["model"] == model}
        for card, cell in zip(card_table.ON, cells, strict=True):
            fits, seconds = own[card]["fits"], f"{float(own[card]['step_seconds']):.2f} s"
            assert cell.strip().startswith("no ") == (fits == "does not fit")
            assert fits == "does not fit" or seconds in cell
            assert f"{int(own[card]['margin']) / GIB:.1f}" in cell
