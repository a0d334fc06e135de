"""What a report says of runs that memory was short for, and what it does not compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from records import eight_cells, record

from harness.comparing.of_records import read_runs
from harness.out_of_memory import Batches, OutOfMemory
from harness.record import Record
from harness.reporting.report import render, report_on
from harness.run_files import Held
from harness.store import Store

MIB = 2**20
ASKED = Batches(batch_size=32, accumulate=1, eval_batch_size=32)
LACK = OutOfMemory(
    doing="training", batch_of="training", step=7, part="backward", op="aten::mm",
    path="bert.encoder.layer.1.output.dense", alive=900 * MIB,
    split={"weights.base": 400 * MIB, "activations": 480 * MIB, "optimizer": 20 * MIB},
    holders=[{"category": "activations", "path": "bert.encoder.layer.*.attention.self",
              "num_bytes": 300 * MIB, "num_blocks": 24}],
    reserved=1000 * MIB, capacity=1024 * MIB, again=True,
)  # fmt: skip


def halved(cell: Any, **rest: Any) -> Record:
    """Return the record of a cell that ran as 16 x 2 in place of 32 x 1."""
    made = record(cell, 0.75, peak=5 * MIB, seconds=0.125, asked_batches=ASKED, **rest)
    train = {**made.cell["train"], "batch_size": 16, "accumulate": 2, "eval_batch_size": 32}
    made.cell = {**made.cell, "train": train}
    return made


def row_of(text: str, name: str) -> list[str]:
    """Return the cells of the table's row of that name."""
    [row] = [line for line in text.splitlines() if line.startswith(f"| {name} ")]
    return [part.strip() for part in row.strip("|").split("|")][1:]


def reported(records: list[Record]) -> str:
    return render(report_on([Held(None, records)]))


def test_what_was_alive_is_told(tmp_path: Path) -> None:
    cells = eight_cells(tmp_path)[:2]
    said = {"outcome": "oom", "message": "CUDA: none", "memory": None, "main_score": None}
    text = reported([record(cells[0], 0.5), record(cells[1], 0.5, out_of_memory=LACK, **said)])
    assert "Where memory ran out, and what was alive (MiB)" in text
    assert row_of(text, "acceptability full s1") == ["backward", "900.0", "400.0", "480.0", "-"]
    assert "training, step 7; aten::mm in bert.encoder.layer.1.output.dense asked for more" in text
    assert "1,000.0 MiB reserved of 1,024.0" in text
    assert "300.0 MiB activations of bert.encoder.layer." in text


def test_runs_in_halves_compare_by_their_scores_alone(tmp_path: Path) -> None:
    cells = eight_cells(tmp_path)[:4]
    records = [*(record(cell, 0.5, peak=9 * MIB) for cell in cells[:2]), *map(halved, cells[2:])]
    report = report_on([Held(None, records)])
    [section] = report.sections
    full, lora = section.comparison.rows
    assert (full.peak, lora.peak) == (9 * MIB, None)
    assert (lora.step_seconds, lora.relative_time, lora.forward_flops) == (None, None, None)
    assert [row.scores["acceptability"].mean for row in (full, lora)] == [0.5, 0.75]
    text = render(report)
    assert "Run in smaller batches (MiB)" in text
    assert row_of(text, "acceptability lora-r8 s0") == ["32 x 1", "16 x 2, evaluation 32", "5.0"]
    assert "stand in no other table" in text


def test_compare_takes_no_memory_of_another_batch(tmp_path: Path) -> None:
    cells = eight_cells(tmp_path)[:1]
    store = Store(tmp_path / "run")
    store.write_manifest({"name": "small"}, cells)
    store.write(cells[0], halved(cells[0]))
    [figures] = read_runs(tmp_path / "run").cells.values()
    said = "it ran as 16 x 2, evaluation 32 for want of memory, not as 32 x 1"
    assert figures.reason == said
