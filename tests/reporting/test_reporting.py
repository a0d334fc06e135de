"""Records to tables, Markdown and CSV; the store that they come from."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.record import Flops, Memory, Parameters, PhaseMemory, Record, Time
from harness.reporting.caption import caption
from harness.reporting.comparison import compare_methods
from harness.reporting.report import write_report
from harness.reporting.spreadsheet import to_frame
from harness.reporting.tables import comparison_tables
from harness.store import Store
from harness.suite.load import load_suite
from harness.suite.suite import Cell
from harness.units import clock, gib, mib, millions, score, tera

SUITE = """
name: small
model: {config: tiny-bert, label: tiny}
tasks: [acceptability, rte]
methods: [full, {lora: {r: 8}}]
seeds: [0, 1]
"""


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    file = tmp_path / "small.yaml"
    file.write_text(SUITE)
    return load_suite(file).cells()


def record(
    cell: Cell, score: float, peak: int = 2**20, seconds: float = 1.0, **rest: Any
) -> Record:
    split = {"weights.base": peak // 2, "activations": peak // 4, "temporary": peak // 4}
    phase = PhaseMemory(first_step=0, steps=9, trainable=5, peak_allocated=peak, split=split,
                        peaks={}, saved_activations=1, at_rest=1)  # fmt: skip
    filled = {
        "key": cell.key, "path": cell.path, "suite": cell.suite, "outcome": "ok",
        "cell": cell.model_dump(mode="json"), "started": "", "seconds": 1.0,
        "main_metric": "accuracy", "main_score": score,
        "averaged_score": score, "reported": {"accuracy": score},
        "scores": {"dev": {"accuracy": score}},
        "parameters": Parameters(total=10, adapter_trainable=1_327_104, head_trainable=1538,
                                 adapter_stored=1_327_104, adapter_trainable_mean=1_327_104),
        "memory": Memory(meter="cpu-ledger", phases=[phase], peak_training=peak,
                         peak_step_mean=peak, peak_last_phase=peak, peak_evaluation=5),
        "flops": Flops(forward_macs=10**9, forward=2 * 10**9, step=1, training=3 * 10**12),
        "time": Time(step_median=seconds, step_p90=1, training=1, evaluation=1, metering=1,
                     total=1),
        "environment": {"cpu": "abacus", "cores": 2, "packages": {"torch": "2.13.0"}},
        "data": {"source": "embedded", "fingerprint": "f" * 64, "train_rows": 5, "notes": [],
                 "evaluation_rows": {"dev": 2}},
        "model": {"config": "tiny-bert"},
    } | rest  # fmt: skip
    return Record.model_validate(filled)


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
    table = comparison_tables(compare_methods(found))[0]
    full = table.texts[0]
    assert full[1] == "50.00 (OOM)"
    assert full[2] == "2 DIVERGED"
    assert full[table.headers.index("average")] == "-", "no average over missing tasks"


def test_caption_says_which_memory_device_precision_padding_and_versions(cells: list[Cell]) -> None:
    text = "\n".join(caption(compare_methods([record(cell, 0.5) for cell in cells])))
    for part in ("on the CPU", "abacus", "precision fp32", "padding longest", "attention sdpa",
                 "torch 2.13.0", "acceptability accuracy", "2 seeds"):  # fmt: skip
        assert part in text


def test_what_speaks_against_a_run_stands_under_the_table(cells: list[Cell]) -> None:
    told = {"warnings": ["reconstruction error 0.3 is above 0.01"]}
    records = [record(cell, 0.5) for cell in cells]
    records[0] = record(cells[0], 0.5, method_state=told)
    for one in records[:5]:
        one.memory.other_processes = [{"pid": 1, "num_bytes": 1}]
    text = "\n".join(caption(compare_methods(records)))
    assert f"Warning: {cells[0].path}: reconstruction error 0.3 is above 0.01" in text
    assert f"{cells[2].path} and 2 more of 8 cells" in text
    assert cells[3].path not in text


def test_report_files(
    cells: list[Cell], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "out")
    store.write_manifest({"name": "small", "description": "Two methods."}, cells)
    for cell in cells[:-1]:
        store.write(cell, record(cell, 0.5))
    file = write_report(store)
    text = file.read_text()
    assert text.startswith("# small\n\nTwo methods.")
    assert "**7 of 8 cells have run.**" in text
    assert "| lora-r8 |" in text
    rows = list(csv.reader((tmp_path / "out" / "comparison.csv").open()))
    assert rows[0][:3] == ["model", "method", "acceptability accuracy (fraction)"]
    assert rows[2][:3] == ["tiny", "lora-r8", "0.5"]
    peak = rows[0].index("peak (B)")
    assert [row[peak] for row in rows[1:]] == [str(2**20)] * 2
    numbers = (text for row in rows[1:] for text in row[2:] if text)
    assert all(float(text) >= 0 for text in numbers), "plain numbers only"
    assert len((tmp_path / "out" / "results.csv").read_text().splitlines()) == 8
    assert "lora-r8" in capsys.readouterr().out


def test_frame_has_one_flat_row_per_record(cells: list[Cell]) -> None:
    frame = to_frame([record(cell, 0.5) for cell in cells])
    assert len(frame) == len(cells)
    assert frame["memory.peak_training"].tolist() == [2**20] * len(cells)
    assert set(frame["method"]) == {"full", "lora-r8"}


def test_a_torn_or_foreign_record_counts_as_none(cells: list[Cell], tmp_path: Path) -> None:
    store, cell = Store(tmp_path), cells[0]
    assert not store.is_done(cell)
    store.write(cell, record(cell, 0.5))
    assert store.is_done(cell)
    file = store.record_file(cell)
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    assert not store.is_done(cell)
    file.write_text(whole.replace('"schema_version": 1', '"schema_version": 0'))
    assert not store.is_done(cell)


OUTCOMES = {"ok": True, "oom": True, "diverged": True, "crashed": False, "interrupted": False}


@pytest.mark.parametrize(("outcome", "done"), OUTCOMES.items())
def test_results_are_final_and_accidents_are_not(
    cells: list[Cell], tmp_path: Path, outcome: str, done: bool
) -> None:
    store = Store(tmp_path)
    store.write(cells[0], record(cells[0], 0.5, outcome=outcome))
    assert store.is_done(cells[0]) is done


def test_a_folder_without_a_run_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        write_report(Store(tmp_path))


def test_units() -> None:
    assert gib(2**30) == "1.000"
    assert gib(15.79 * 2**30) == "15.79"
    assert mib(3 * 2**20) == "3.0"
    assert score(0.12345) == "12.35"
    assert millions(1_327_104) == "1.327M"
    assert millions(184_423_682) == "184.4M"
    assert tera(1.5e12) == "1.5"
    assert tera(2_117_791e12) == "2,117,791"
    assert clock(3671) == "1:01:11"
    assert {gib(None), score(None), mib(None), tera(None), millions(None)} == {"-"}


def test_forecast_stands_beside_the_measurement(cells: list[Cell]) -> None:
    def with_forecast(cell: Cell, ratio: float) -> Record:
        sizes = dict.fromkeys(("peak_reserved", "at_rest", "saved_activations", "seconds"), 0)
        stage = {"peak_allocated": round(ratio * 2**20), "split": {}, "phases": {}, **sizes}
        return record(
            cell, 0.5, forecast={"target": "cpu", "steps": [], "stages": {"training": stage}}
        )

    found = [with_forecast(cell, 0.75 if i == 0 else 1.5) for i, cell in enumerate(cells)]
    comparison = compare_methods(found)
    [table] = comparison_tables(comparison)
    column = table.headers.index("forecast / peak")
    assert table.texts[0][column] == "0.7500"
    text = " ".join(caption(comparison))
    assert "median error 50.000 %" in text
    assert f"1 of {len(cells)} (12 %) are under-estimates" in text
