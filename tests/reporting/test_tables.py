"""The tables of a comparison: narrow first, the best marked, nothing broken or left away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from records import record

from harness.record import Record
from harness.reporting.columns import Table, number
from harness.reporting.comparison import Comparison, compare_methods
from harness.reporting.layout import MAIN_WIDTH, NAME_WIDTH, parts, widths
from harness.reporting.markdown import markdown_table
from harness.reporting.tables import main_tables, score_tables, split_tables, task_tables
from harness.suite.load import load_suite
from harness.units import GIB

GLUE = ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte"]


def compared(
    folder: Path, tasks: list[str], methods: str = "[full, bitfit, lora]", **rest: Any
) -> Comparison:
    """Compare records of two seeds."""
    file = folder / "small.yaml"
    file.write_text(
        f"name: small\nmodel: {{config: tiny-bert, label: tiny}}\ntasks: {tasks}\n"
        f"methods: {methods}\nseeds: [0, 1]\n"
    )
    found: list[Record] = []
    for number_, cell in enumerate(load_suite(file).cells()):
        peak = rest.get("peak", 2**20) + number_
        found.append(record(cell, 0.5 + number_ / 100, peak=peak, **rest.get("fields", {})))
    return compare_methods(found)


def figures(values: list[float | None], better: Any) -> Table[Any]:
    column = number("figure", lambda row: row, lambda v: "-" if v is None else f"{v:.1f}", "f")
    return Table("", [column.which_is(better)], values)


@pytest.mark.parametrize(("values", "better", "marks"), [
    ([1.0, 3.0, 2.0], "more", [None, "best", "second"]),
    ([1.0, 3.0, 2.0], "less", ["best", None, "second"]),
    ([1.0, 2.0], "less", ["best", None]),
    ([1.0], "less", [None]),
    ([1.0, 1.0, 1.0], "less", [None, None, None]),
    ([1.01, 1.04, 2.0], "less", ["best", "best", None]),
    ([1.0, 2.01, 2.04, 3.0], "less", ["best", "second", "second", None]),
    ([None, 1.0, None, 2.0], "more", [None, None, None, "best"]),
    ([], "more", []),
])  # fmt: skip
def test_best_and_second_best(values: list[float | None], better: Any, marks: list[Any]) -> None:
    assert [mark for [mark] in figures(values, better).marks] == marks


def test_the_main_table_fits_a_page_of_100_columns(tmp_path: Path) -> None:
    for tasks in (["rte"], ["cola", "rte"], GLUE):
        [table] = main_tables(compared(tmp_path, tasks))
        assert max(map(len, markdown_table(table).splitlines())) <= 100
    assert table.headers == ["method", "average ↑", "peak MiB ↓", "time/full ↓", "adapter ↓"]
    [scores] = score_tables(compared(tmp_path, GLUE))
    assert not scores.folded, "the main table has no room for them"
    assert scores.headers[1:] == [*(f"{task} ↑" for task in GLUE), "average ↑"]
    cut = parts(scores, MAIN_WIDTH)
    assert len(cut) > 1
    assert [c.header for part in cut for c in part.columns[1:]] == [
        c.header for c in scores.columns[1:]
    ]
    for part in cut:
        assert sum(widths(part)) + 3 * len(part.columns) <= MAIN_WIDTH + 3
        assert part.columns[0].header == "method"


def test_a_few_tasks_stand_in_the_main_table(tmp_path: Path) -> None:
    [table] = main_tables(compared(tmp_path, ["cola", "rte"]))
    assert table.headers[:4] == ["method", "cola ↑", "rte ↑", "average ↑"]
    assert score_tables(compared(tmp_path, ["cola", "rte"])) == [], "there is one metric"
    [one] = main_tables(compared(tmp_path, ["rte"]))
    assert (one.title, one.headers[1]) == ("tiny: rte", "accuracy ↑")


def test_a_long_label_costs_no_column(tmp_path: Path) -> None:
    label = "x" * 3 * NAME_WIDTH
    [table] = main_tables(compared(tmp_path, ["rte"], f"[full, {{lora: {{}}, label: {label}}}]"))
    assert "accuracy ↑" in table.headers
    assert "time/full ↓" in table.headers
    [based] = main_tables(
        compare_methods(compared(tmp_path, ["rte"], f"[{{lora: {{}}, label: {label}}}]").records)
    )
    assert "time ratio ↓" in based.headers


def test_every_metric_stands_in_the_table_of_scores(tmp_path: Path) -> None:
    fields = {"reported": {"accuracy": 0.5, "f1": 0.25}}
    [table] = score_tables(compared(tmp_path, ["rte"], fields=fields))
    assert (table.title, table.folded) == ("Every metric", True)
    assert table.headers == ["method", "accuracy ↑", "f1 ↑"]
    [scores, every] = score_tables(compared(tmp_path, GLUE, fields=fields))
    assert (scores.title, scores.folded, every.folded) == ("Scores", False, True)
    assert every.headers[1:3] == ["cola accuracy ↑", "cola f1 ↑"]
    assert table.texts[0] == ["full", "50.50 ± 0.71", "25.00 ± 0.00"]


def test_errors_point_down_whatever_they_are_called(tmp_path: Path) -> None:
    comparison = compared(tmp_path, ["rte"], fields={"main_metric": "perplexity"})
    [table] = main_tables(comparison)
    assert table.headers[1] == "perplexity ↓"
    assert table.marks[0][1] == "best", "the least"
    for each in comparison.records:
        each.main_metric, each.lowest = "mine:loss", True
    [table] = main_tables(compare_methods(comparison.records))
    assert table.headers[1] == "mine:loss ↓"


def test_fewer_seeds_than_others_are_told(tmp_path: Path) -> None:
    comparison = compared(tmp_path, ["rte"])
    [table] = main_tables(compare_methods(comparison.records[1:]))
    assert [row[1] for row in table.texts[:2]] == ["51.00 (n=1)", "52.50 ± 0.71"]


def test_times_of_two_machines_make_no_ratio(tmp_path: Path) -> None:
    records = compared(tmp_path, ["rte"]).records
    for each in records:
        if each.method == "bitfit":
            each.environment.host = "another"
    full, bitfit, lora = compare_methods(records).rows
    assert (full.relative_time, bitfit.relative_time, lora.relative_time) == (1.0, None, 1.0)


def test_memory_reads_in_one_unit_that_the_table_names(tmp_path: Path) -> None:
    [small] = split_tables(compared(tmp_path, ["rte"]))
    [large] = split_tables(compared(tmp_path, ["rte"], peak=17 * GIB))
    assert small.title == "What holds the peak (MiB)"
    assert large.title == "What holds the peak (GiB)"
    assert large.texts[0][1] == "17.00"
    assert large.figure_headers[1] == "peak (B)"
    assert large.figures[0][1] == 17 * GIB + 1


def test_each_task_has_its_peak(tmp_path: Path) -> None:
    [table] = task_tables(compared(tmp_path, ["cola", "rte"], peak=2**30))
    assert table.headers == ["method", "cola ↓", "rte ↓"]
    assert task_tables(compared(tmp_path, ["rte"])) == []
