"""Forecast step times and run times as people read them."""

from __future__ import annotations

import pytest

from harness.forecasting.result import Forecast
from harness.forecasting.run_time import RunTime
from harness.forecasting.step_time import MeanStep
from harness.reporting.figures.step_bars import step_figures
from harness.reporting.figures.theme import MODES, style
from harness.reporting.page.of_forecasts import forecasts_data
from harness.reporting.page.pool import Pool
from harness.reporting.run_times import run_time_notes, run_time_tables
from harness.reporting.step_times import step_time_notes, step_time_tables, times_flat
from harness.timing.bar import Bar

DEVICE = Bar(binds="device", near=False, ratio=0.05, absolute=0.10)
HOST = Bar(binds="host", near=True, ratio=0.25, absolute=0.25)
RUN = RunTime(seconds=7300, training=7000, evaluation=300, steps=100, fastest=7000, slowest=7000,
              error_bar=0.1, energy=7300 * 450)  # fmt: skip


def entry(
    method: str,
    seconds: float | None,
    bar: Bar = DEVICE,
    *,
    gpu: str = "rtx4090",
    stage: str = "training",
    at_least: tuple[str, ...] = (),
    run: RunTime | None = None,
) -> Forecast:
    step = seconds and MeanStep(
        seconds=seconds, median=seconds, host=seconds / 2, device=seconds, tokens=1000,
        examples=4, tokens_per_second=1000 / seconds, bar=bar, at_least=list(at_least),
    )  # fmt: skip
    return Forecast(
        cell=f"rte/tiny-bert/{method}/s0", method=method, model="tiny-bert", task="rte", gpu=gpu,
        stage=stage, steps=[(4, 250)], step_time=step or None, run_time=run,
    )  # fmt: skip


def texts(forecasts: list[Forecast]) -> list[list[str]]:
    return [row for table in step_time_tables(forecasts) for row in table.texts]


def test_the_ratio_comes_first_with_the_worse_bar_and_the_milliseconds_second() -> None:
    [table] = step_time_tables([entry("lora-r8", 0.2), entry("full", 0.1, HOST)])
    assert table.headers == [
        "cell", "time/full", "step ms", "host ms", "device ms", "binds", "tokens/s",
    ]  # fmt: skip
    lora, full = table.texts
    assert lora[1:3] == ["2.00 ±25 %", "200 ±10 %"]
    assert full[1:3] == ["1.00", "100 ±25 %"]
    assert (lora[5], full[5]) == ("device", "host")
    figures = dict(zip(table.figure_headers, table.figures[0], strict=True))
    assert figures["time/full (ratio)"] == pytest.approx(2.0)
    assert figures["step (s)"] == 0.2


@pytest.mark.parametrize(
    ("methods", "base"),
    [(("lora-r8", "full"), "full"), (("ia3", "lora-r8", "lora-r4"), "lora-r8"),
     (("loraprune-r8", "ia3"), "loraprune-r8")],
)  # fmt: skip
def test_the_baseline_is_full_else_lora_else_the_first(methods: tuple[str, ...], base: str) -> None:
    found = [entry(method, 0.1) for method in methods]
    [table] = step_time_tables(found)
    short = len(base) <= 8
    assert table.headers[1] == (f"time/{base}" if short else "time ratio")
    assert (f"Time ratio: to {base}." in step_time_notes(found)) == (not short)


def test_cards_that_share_their_bytes_have_tables_of_their_own() -> None:
    found = [
        entry("full", 0.1),
        entry("full", 0.3, gpu="a6000"),
        entry("full", None, gpu="t4"),
        entry("lora", 0.2),
        entry("lora", 0.3, gpu="a6000"),
        entry("lora", None, gpu="t4"),
    ]
    fast, slow = step_time_tables(found)
    assert ("rtx4090" in fast.title, "a6000" in slow.title) == (True, True)
    assert [row[1] for row in fast.texts] == ["1.00", "2.00 ±5 %"]
    assert [row[1] for row in slow.texts] == ["1.00", "1.00 ±5 %"]
    assert "No time on t4: no datasheet of its speed is known." in step_time_notes(found)


def test_stages_are_compared_with_the_baselines_first() -> None:
    found = [entry("full", 0.1), entry("safe", 0.2, stage="warm-up"),
             entry("safe", 0.05, stage="50 % frozen")]  # fmt: skip
    assert [row[:2] for row in texts(found)[1:]] == [
        ["safe, warm-up", "2.00 ±5 %"], ["— 50 % frozen", "0.50 ±5 %"],
    ]  # fmt: skip


def test_a_kernel_of_unknown_cost_makes_a_time_a_lower_bound_and_is_named() -> None:
    found = [entry("full", 0.1), entry("odd", 0.2, at_least=("x::y",))]
    assert texts(found)[1][1:3] == ["≥2.00 ±5 %", "≥200"]
    assert any("the cost of x::y is not known" in note for note in step_time_notes(found))
    assert times_flat(found[1])["at least"] == "x::y"


def test_a_run_has_its_parts_and_an_upper_bound_of_its_energy() -> None:
    staged = RUN.model_copy(update={"fastest": 3500.0, "assumed": ["safe freezes evenly"]})
    found = [entry("full", 0.1, run=RUN), entry("safe", 0.2, stage="warm-up", run=staged),
             entry("safe", 0.1, stage="50 % frozen", run=staged), entry("other", 0.1)]  # fmt: skip
    [table] = run_time_tables(found)
    assert [row[0] for row in table.texts] == ["full", "safe"], "once for all stages"
    assert table.texts[1] == [
        "safe", "100", "2.03 h ±10 %", "117 min", "5 min", "58.3 min to 117 min", "912 Wh",
    ]  # fmt: skip
    assert "Assumed of a run's time: safe freezes evenly." in run_time_notes(found)
    assert run_time_notes(found[3:]) == [
        "No time of a run: neither data nor max_steps say how many steps it has (of batches "
        "padded to max_length no data is read)."
    ]


def test_without_a_datasheet_there_is_no_table() -> None:
    assert step_time_tables([entry("full", None)]) == run_time_tables([entry("full", None)]) == []
    assert times_flat(entry("full", None)) == {}


def test_a_figure_per_card_with_bars_marks_and_bounds() -> None:
    found = [entry("full", 0.1), entry("odd", 0.2, HOST, at_least=("x::y",)),
             entry("full", 0.1, gpu="custom:24:8.6")]  # fmt: skip
    one, other = step_figures(found)
    assert (one.name, other.name) == ("step-time-rtx4090", "step-time-custom-24-8.6")
    assert "ratio to full" in one.caption
    for mode in MODES:
        with style(mode):
            [axes] = one.draw(mode).axes
        assert {"1.00;  100 ±10 %", "2.00;  ≥200"} <= {text.get_text() for text in axes.texts}
        assert axes.get_xlim()[1] > 200
    assert step_figures([entry("full", None)]) == []


def test_the_page_has_the_times_of_each_card_in_a_row_that_they_share() -> None:
    found = [entry("full", 0.1), entry("full", 0.3, gpu="a6000"), entry("full", None, gpu="t4")]
    [view] = forecasts_data(found, Pool())["views"]
    [row] = view["rows"]
    assert row["times"] == {"rtx4090": [0.1, "100 ±10 %"], "a6000": [0.3, "300 ±10 %"]}
