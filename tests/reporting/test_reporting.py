"""Records to tables, Markdown and CSV."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from records import eight_cells, record

from harness.errors import UserError
from harness.record import Record
from harness.reporting.caption import caption
from harness.reporting.comparison import compare_methods
from harness.reporting.report import write_report
from harness.reporting.spreadsheet import to_frame
from harness.reporting.tables import main_tables, whole_tables
from harness.store import Store
from harness.suite.cell import Cell


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    return eight_cells(tmp_path)


def test_scores_are_means_over_seeds_and_times_paired_ratios(cells: list[Cell]) -> None:
    found = []
    for cell in cells:
        lora = cell.method == "lora"
        value = (0.5 if lora else 0.75) + 0.1 * cell.seed
        found.append(record(cell, value, seconds=(3.0 if lora else 4.0) * (1 + cell.seed)))
    full, lora = compare_methods(found).rows
    assert lora.scores["rte"].mean == pytest.approx(0.55)
    assert lora.scores["rte"].spread == pytest.approx(0.0707, abs=1e-4)
    assert lora.average == pytest.approx(0.55)
    assert lora.relative_time == pytest.approx(0.75)
    assert full.relative_time == 1.0
    assert lora.split["activations"] == 2**19, "activations include temporaries"


def test_outcomes_are_shown_where_the_score_would_be(cells: list[Cell]) -> None:
    found = [record(cell, 0.5) for cell in cells]
    found[0] = record(cells[0], 0.5, outcome="oom", main_score=None, memory=None)
    found[4] = record(cells[4], 0.5, outcome="diverged", main_score=None, memory=None)
    found[5] = record(cells[5], 0.5, outcome="diverged", main_score=None, memory=None)
    table = main_tables(compare_methods(found))[0]
    full = table.texts[0]
    assert full[1] == "50.00 (OOM)"
    assert full[2] == "2 DIVERGED"
    assert full[table.headers.index("average ↑")] == "-", "no average over missing tasks"


def test_errors_are_shown_as_they_are(cells: list[Cell]) -> None:
    mae = {"main_metric": "mae", "averaged_score": None}
    chosen = [cell for cell in cells if cell.method == "full" and cell.task.name == "rte"]
    found = [
        record(cell, error, reported={"mae": error, "r2": 0.5}, **mae)
        for cell, error in zip(chosen, (0.25, 0.75), strict=True)
    ]
    table = whole_tables(compare_methods(found))[0]
    assert table.texts[0][1] == "0.500 ± 0.354"
    assert table.headers[1] == "rte ↓"
    headers = {"rte mae", "rte mae standard deviation", "rte r2 (fraction)"}
    assert headers <= {*table.figure_headers}
    assert "Scores: rte mae (as it is) / r2, in per cent;" in caption(compare_methods(found))[0]


def test_caption_says_which_memory_device_precision_padding_and_versions(cells: list[Cell]) -> None:
    text = "\n".join(caption(compare_methods([record(cell, 0.5) for cell in cells])))
    for part in ("on the CPU", "abacus", "precision fp32", "padding longest", "attention auto",
                 "torch 2.13.0", "acceptability accuracy", "2 seeds", "lr 0.001", "clip 1",
                 "Training: 130 steps, 1 of 3 epochs.",
                 "Command: `headroom run small.yaml`."):  # fmt: skip
        assert part in text


def test_what_speaks_against_a_run_stands_under_the_table(cells: list[Cell]) -> None:
    records = [record(cell, 0.5) for cell in cells]
    for one in records[:5]:
        one.memory.other_processes = [{"pid": 1, "num_bytes": 1}]
    text = "\n".join(caption(compare_methods(records)))
    assert f"{cells[2].path} and 2 more of 8 cells" in text
    assert cells[3].path not in text


def test_what_a_method_fell_short_of_stands_under_every_table(
    cells: list[Cell], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = {"shortfalls": ["it froze none of 6 units"], "remarks": ["targets [six] leave out one"]}
    store = Store(tmp_path / "out")
    store.write_manifest({"name": "small"}, cells)
    for cell in cells:
        one = record(cell, 0.5, **(short if cell.method == "lora" else {}))
        assert one.memory is not None
        one.memory.phases *= 2
        store.write(cell, one)
    report = write_report(store)[0].read_text()
    runs = "lora-r8 (acceptability s0, acceptability s1, rte s0 and 1 more)"
    said = f"- Short of what it is for: {runs}: it froze none of 6 units."
    first, second = report.split("<summary>Memory, first")
    assert said in first
    assert said in second, "phases are a table, too"
    assert report.count("- lora-r8: targets [six] leave out one.") == 1, "in the folded notes"
    out = capsys.readouterr().out
    assert out.count("it froze none of 6 units") == 2
    assert out.count("targets [six] leave out one") == 1, "no markup is read out of it"


def test_report_files(
    cells: list[Cell], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "out")
    store.write_manifest({"name": "small", "description": "Two methods."}, cells)
    for cell in cells[:-1]:
        store.write(cell, record(cell, 0.5))
    text = write_report(store)[0].read_text()
    assert text.startswith("# small\n\nTwo methods.")
    assert "**7 of 8 cells have run.**" in text
    assert "| lora-r8 " in text
    rows = list(csv.reader((tmp_path / "out" / "comparison.csv").open()))
    assert rows[0][1:4] == ["model", "method", "acceptability accuracy (fraction)"]
    assert rows[2][:4] == ["small", "tiny", "lora-r8", "0.5"]
    peak = rows[0].index("peak (B)")
    assert [row[peak] for row in rows[1:]] == [str(2**20)] * 2
    names = [index for index, header in enumerate(rows[0]) if header.endswith(" outcome")]
    assert {row[index] for row in rows[1:] for index in names} == {"ok"}
    figures = [i for i in range(3, len(rows[0])) if i not in names]
    numbers = (row[i] for row in rows[1:] for i in figures if row[i])
    assert all(float(text) >= 0 for text in numbers), "plain numbers only"
    assert len((tmp_path / "out" / "results.csv").read_text().splitlines()) == 8
    assert "lora-r8" in capsys.readouterr().out


def test_frame_has_one_flat_row_per_record(cells: list[Cell]) -> None:
    frame = to_frame([record(cell, 0.5) for cell in cells])
    assert len(frame) == len(cells)
    assert frame["memory.peak_training"].tolist() == [2**20] * len(cells)
    assert set(frame["method"]) == {"full", "lora-r8"}


def test_forecast_stands_beside_the_measurement(cells: list[Cell]) -> None:
    def with_forecast(cell: Cell, ratio: float) -> Record:
        sizes = dict.fromkeys(("peak_reserved", "at_rest", "saved_activations", "seconds"), 0)
        stage = {"peak_allocated": round(ratio * 2**20), "split": {}, "phases": {}, **sizes}
        return record(
            cell, 0.5, forecast={"target": "cpu", "steps": [], "stages": {"training": stage}}
        )

    found = [with_forecast(cell, 0.75 if i == 0 else 1.5) for i, cell in enumerate(cells)]
    comparison = compare_methods(found)
    [table] = main_tables(comparison)
    column = table.headers.index("forecast/peak")
    assert table.texts[0][column] == "0.7500"
    text = " ".join(caption(comparison))
    assert "median error 50.000 %" in text
    assert f"1 of {len(cells)} (12 %) are under-estimates" in text


def test_a_folder_without_a_run_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        write_report(Store(tmp_path))
