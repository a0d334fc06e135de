"""Forecast over measured step time in reports, beside that of memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from records import eight_cells, record

from harness.foreseen import RunForecast, StageForecast, StepForecastTime
from harness.record import Record
from harness.reporting.caption import facts
from harness.reporting.comparison import compare_methods, time_ratio
from harness.reporting.tables import main_tables, whole_tables


def stage(median: float | None, at_least: tuple[str, ...] = ()) -> StageForecast:
    step = median and StepForecastTime(
        mean=2 * median, median=median, host=0.1, device=median, error_bar=0.1,
        at_least=list(at_least),
    )  # fmt: skip
    return StageForecast(peak_allocated=100, peak_reserved=0, at_rest=1, saved_activations=1,
                         split={}, peaks={}, seconds=1, step=step or None)  # fmt: skip


def foreseen(*stages: StageForecast) -> RunForecast:
    named = {f"stage {n}": one for n, one in enumerate(stages)}
    return RunForecast(target="cpu", steps=[(1, 1)], stages=named, clock="l40s, reference")


@pytest.fixture
def runs(tmp_path: Path) -> list[Record]:
    cells = eight_cells(tmp_path)
    by_method: dict[str, list[Any]] = {}
    for cell in cells:
        by_method.setdefault(cell.method_label, []).append(cell)
    (first, *_), (second, *_) = by_method.values()
    return [
        record(first, 0.5, seconds=1.0, forecast=foreseen(stage(1.1), stage(0.5))),
        record(second, 0.5, seconds=2.0, forecast=foreseen(stage(1.8, ("x::y",)))),
    ]


def test_it_is_of_medians_of_the_stage_that_the_run_begins_with(runs: list[Record]) -> None:
    assert [time_ratio(one) for one in runs] == [pytest.approx(1.1), pytest.approx(0.9)]
    memory = runs[0].memory
    assert memory is not None
    memory.phases[0].step_median = 2.2
    assert time_ratio(runs[0]) == pytest.approx(0.5), "later phases are other steps"


def test_tables_have_it_beside_the_ratio_of_times_and_captions_its_error(
    runs: list[Record],
) -> None:
    comparison = compare_methods(runs)
    [table] = main_tables(comparison)
    column = table.headers.index("forecast/time")
    assert [row[column] for row in table.texts] == ["1.10", "0.90"]
    assert "forecast/time (ratio)" in whole_tables(comparison)[0].figure_headers
    [said] = [text for text in facts(comparison) if "step time" in text]
    assert "l40s, reference" in said
    assert "median error 10.0 %, largest 10.0 %; 1 of 2 are lower bounds" in said


def test_records_without_it_are_told_as_before(runs: list[Record]) -> None:
    for one in runs:
        one.forecast = foreseen(stage(None))
    comparison = compare_methods(runs)
    assert all("forecast/time" not in t.headers for t in main_tables(comparison))
    assert not any("step time" in text for text in facts(comparison))
    content = runs[0].model_dump(mode="json")["forecast"]
    assert "step" not in content["stages"]["stage 0"]
    assert "time" not in content
