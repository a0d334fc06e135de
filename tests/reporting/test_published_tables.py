"""Published figures beside measured and forecast ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from records import record

from harness.forecasting.result import Forecast
from harness.record import Memory, PhaseMemory, Record
from harness.reporting.columns import Table
from harness.reporting.groups import Group
from harness.reporting.ours import of_forecasts
from harness.reporting.published import published_tables, tables_beside
from harness.suite.cell import Cell
from harness.suite.load import load_suite
from harness.units import GIB

SUITE = """
name: squads
models: [{config: bert-base-uncased}, {config: roberta-large}]
tasks: [squad]
methods: [{lora: {r: 4}, label: lora}, {safe: {over: lora, tau: 0.1}, label: lora-safe}, bitfit]
published: {safe_table2: {lora+safe: lora-safe}}
"""


def suite_and_cells(folder: Path, text: str = SUITE) -> tuple[dict[str, Any], list[Cell]]:
    file = folder / "squads.yaml"
    file.write_text(text)
    suite = load_suite(file)
    return suite.model_dump(mode="json"), suite.cells()


def measured(cell: Cell, *peaks: float, mean: float | None = None, **rest: Any) -> Record:
    """Return a record whose phases have these peaks, GiB."""
    phases = [
        PhaseMemory(first_step=i, steps=1, trainable=5, peak_allocated=round(peak * GIB), split={},
                    peaks={}, saved_activations=1, at_rest=1)
        for i, peak in enumerate(peaks)
    ]  # fmt: skip
    memory = Memory(meter="cuda", phases=phases, peak_training=phases[0].peak_allocated,
                    peak_step_mean=(mean or peaks[0]) * GIB,
                    peak_last_phase=phases[-1].peak_allocated)  # fmt: skip
    scores = {"main_metric": "f1", "reported": {"f1": 0.875}}
    return record(cell, 0.875, **{"memory": memory, **scores, **rest})


def forecast(cell: Cell, stage: str, peak: float, **rest: Any) -> Forecast:
    return Forecast(
        cell=cell.path, method=cell.method_label, model=cell.model.name, task=cell.task_label,
        gpu="rtx4090", stage=stage, steps=[(16, 384)], peak_allocated=round(peak * GIB),
        adapter_trainable=147_456, **rest,
    )  # fmt: skip


def tables_of(folder: Path, **rest: Any) -> dict[str, Table[Any]]:
    suite, cells = suite_and_cells(folder)
    by_name = {(c.model.name, c.method_label): c for c in cells}
    records = [
        measured(by_name["bert-base-uncased", "lora"], 5.96, **rest),
        measured(by_name["bert-base-uncased", "lora-safe"], 5.96, 1.01, mean=4.5, **rest),
        measured(by_name["bert-base-uncased", "bitfit"], 3.0, **rest),
        record(by_name["roberta-large", "lora"], 0.5, outcome="oom", main_score=None),
    ]
    found = published_tables(Group("squads", suite, records))
    return {table.title.rpartition(": ")[2]: table for table in found}


def test_measured_figures_stand_beside_the_papers(tmp_path: Path) -> None:
    memory = tables_of(tmp_path)["memory, GiB"]
    rows = {text[0]: text[1:] for text in memory.texts}
    assert rows["bert-base-uncased lora"] == ["5.95 (a)", "5.96", "+0.2 %"]
    assert rows["bert-base-uncased lora-safe"] == ["4.61 (a)", "5.96 to 1.01, mean 4.50", "-2.4 %"]
    assert rows["roberta-large lora"] == ["17.73 (a)", "-", "-"], "ours ended without memory"
    assert len(rows) == 8, "every row of the paper stands there"
    notes = "\n".join(memory.notes)
    assert "(a) row order inferred" in notes
    assert (
        "Of the paper's models ours has none of bert-large-uncased, roberta-base, roberta-large."
        in notes
    )
    assert "Not in the paper's table: bitfit." in notes
    assert "bert-base-uncased lora-safe memory measured -2.4 %: not explained." in notes
    figures = dict(zip(memory.figure_headers, memory.figures[0], strict=True))
    assert figures["paper"] == 5.95
    assert figures["measured, first stage"] == pytest.approx(5.96)
    assert str(figures["flag"]).startswith("row order inferred")


def test_scores_and_what_is_relative(tmp_path: Path) -> None:
    found = tables_of(tmp_path)
    assert found["scores"].texts[:2] == [
        ["bert-base-uncased lora: paper (a)", "86.99"],
        ["bert-base-uncased lora: measured", "87.50"],
    ]
    other = {text[0]: text[1:] for text in found["other costs"].texts}
    saved = other["bert-base-uncased lora-safe: memory saved, %"]
    assert saved[1:] == ["0.00 to 83.05, mean 24.50", "+8.8 %"], "1 - 4.5 / 5.96, over steps"
    assert other["roberta-large lora-safe: memory saved, %"][1:] == ["-", "-"]


def test_another_experiment_is_called_one(tmp_path: Path) -> None:
    asked = {"command": "headroom run x.yaml train.max_steps=9",
             "overrides": ["train.max_steps=9"]}  # fmt: skip
    memory = tables_of(tmp_path, invocation=asked)["memory, GiB"]
    assert "Overrides changed the suite: ours is another experiment." in memory.notes
    assert not any("Off by more" in note for note in memory.notes), "which explains every one"


def test_forecasts_stand_beside_the_papers(tmp_path: Path) -> None:
    suite, cells = suite_and_cells(tmp_path)
    large = {c.method_label: c for c in cells if c.model.name == "roberta-large"}
    entries = [
        forecast(large["lora"], "training", 15.876),
        forecast(large["lora"], "training", 15.9).model_copy(update={"gpu": "a6000"}),
        forecast(large["lora-safe"], "warm-up", 15.876),
        forecast(large["lora-safe"], "91.67 % frozen", 2.72),
        forecast(large["bitfit"], "training", 1.0, error="no such layer"),
    ]
    memory = tables_beside(suite, of_forecasts(entries))[0]
    rows = {text[0]: text[1:] for text in memory.texts}
    assert rows["roberta-large lora"] == ["17.73 (a)", "15.88", "-10.4 %"]
    assert rows["roberta-large lora-safe"] == ["3.56 (a)", "15.88 to 2.72", "in between"]
    assert any("nobody here can explain it" in note for note in memory.notes)


def test_another_model_has_no_row_and_is_named(tmp_path: Path) -> None:
    text = SUITE.replace("roberta-large}", "tiny-bert}")
    suite, cells = suite_and_cells(tmp_path, text)
    tiny = next(c for c in cells if c.model.name == "tiny-bert" and c.method == "lora")
    memory = published_tables(Group("x", suite, [measured(tiny, 0.1)]))[0]
    assert memory.headers == ["model and method", "paper"], "nothing of ours stands beside"
    missing = "bert-base-uncased, bert-large-uncased, roberta-base, roberta-large"
    assert f"Of the paper's models ours has none of {missing}." in memory.notes
    assert "Not in the paper's table: tiny-bert." in memory.notes


def test_shapes_stand_for_any_task_each_in_a_row(tmp_path: Path) -> None:
    text = """
name: shapes
model: {config: bert-large-uncased}
tasks:
  - {shape: {family: classification, length: 128}, label: short}
  - {shape: {family: classification, length: 256}, label: long}
methods: [{lora: {r: 4}, label: lora}]
published: safe_table1
"""
    suite, cells = suite_and_cells(tmp_path, text)
    entries = [forecast(cell, "training", 7.5 + i) for i, cell in enumerate(cells)]
    found = tables_beside(suite, of_forecasts(entries, ["short", "long"]))
    rows = [text[:3] for text in found[0].texts if text[0].startswith("lora ")]
    assert rows == [["lora short", "20.35 (a)", "7.50"], ["lora long", "20.35 (a)", "8.50"]]
    assert any("this suite has shapes" in note for note in found[0].notes)


@pytest.mark.parametrize("said", ["safe_table2", ["x"], 7, {"safe_table2": 3}, {"gone": {}}])
def test_a_manifest_of_another_version_breaks_nothing(said: Any) -> None:
    found = tables_beside({"published": said, "tasks": ["squad", 3]}, [])
    assert [text[0] for table in found[-1:] for text in table.texts] == ["gone"] or said != {
        "gone": {}
    }
