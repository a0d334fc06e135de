"""Sides as they lie in files: run folders, forecasts of this version and of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from records import eight_cells, record
from typer.testing import CliRunner

from harness.compare import app
from harness.comparing.source import read_side
from harness.errors import UserError
from harness.store import Store
from harness.suite.load import load_suite

ENTRY = {"cell": "t/m/lora/s0", "gpu": "l4", "stage": "training", "steps": [[8, 16, 0]],
         "peak_allocated": 100, "peak_reserved": 200, "at_rest": 10, "peaks": {"forward": 100},
         "needs": {"training": {"allocated": 100}, "evaluation": {"allocated": 50}},
         "split": {"weights.base": 60, "activations": 40}, "modules": {"a": 60, "b": 40},
         "holds": [{"category": "weights.base", "path": "a", "op": "x", "num_bytes": 60,
                    "num_blocks": 1}],
         "choices": {"torch": "2.13.0", "precision": "fp32"}}  # fmt: skip


def forecasts(folder: Path, name: str, *entries: dict[str, Any]) -> Path:
    file = folder / name
    file.write_text(json.dumps([ENTRY | entry for entry in entries]))
    return file


def runs(folder: Path, peak: int = 2**20, score: float = 0.5, **rest: Any) -> Path:
    (folder.parent / "suites").mkdir(parents=True, exist_ok=True)
    cells = eight_cells(folder.parent / "suites")
    store = Store(folder)
    for cell in cells:
        store.write(cell, record(cell, score, peak, **rest))
    store.write_manifest({"name": "small"}, cells)
    return folder


def test_records_are_a_side(tmp_path: Path) -> None:
    side = read_side(runs(tmp_path / "a"))
    assert side.kind == "measured"
    assert len(side.cells) == 8
    assert side.facts["torch"] == "2.13.0"
    assert side.facts["cpu"] == "abacus"
    cell = side.cells["acceptability/tiny/full/s0"]
    assert cell.sizes == {"peak": 2**20, "at rest": 1, "evaluation": 5}
    assert cell.settings["train.batch_size"] == "32"
    assert (cell.score, cell.step_seconds) == (0.5, 1.0)


def test_runs_are_compared(tmp_path: Path) -> None:
    before, after = runs(tmp_path / "a"), runs(tmp_path / "b", 2**21, 0.75, seconds=2.0)
    file, out = tmp_path / "all.json", tmp_path / "out"
    done = CliRunner().invoke(
        app, [str(before), str(after), "--json", str(file), "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert "8 cells: of the measured peaks 8 grew, 0 fell, 0 stayed." in done.output
    told = json.loads(file.read_text())
    assert {cell["sizes"]["peak"]["moved"] for cell in told["cells"]} == {2**20}
    assert [row["time"] for row in told["scores"]] == [2.0] * 4
    assert "## Moved at the peak, by category" in (out / "compare.md").read_text()
    header, *rows = (out / "compare.csv").read_text().splitlines()
    assert header.startswith("cell,peak before (B),peak after (B),peak moved (B)")
    assert len(rows) == 8


def test_a_cell_that_failed_on_one_side_is_exit_code_1(tmp_path: Path) -> None:
    before, after = runs(tmp_path / "a"), runs(tmp_path / "b")
    cell = eight_cells(tmp_path)[0]
    Store(after).write(cell, record(cell, 0.5, outcome="oom", message="out of memory"))
    done = CliRunner().invoke(app, [str(before), str(after)])
    assert done.exit_code == 1
    assert f"After has no figures of {cell.path}: oom: out of memory" in done.output


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    before, after = runs(tmp_path / "a"), runs(tmp_path / "b")
    cell = eight_cells(tmp_path)[0]
    Store(after).record_file(cell).write_text("{")
    done = CliRunner().invoke(app, [str(before), str(after)])
    assert done.exit_code == 1
    assert f"After has no figures of {cell.path}: left out: " in done.output


def test_settings_that_differ_are_named(tmp_path: Path) -> None:
    before, after = runs(tmp_path / "a"), runs(tmp_path / "b")
    cell = eight_cells(tmp_path)[0]
    other = cell.model_dump(mode="json")
    other["train"]["lr"] = 0.5
    Store(after).write(cell, record(cell, 0.5).model_copy(update={"cell": other}))
    done = CliRunner().invoke(app, [str(before), str(after)])
    assert any(line.split() == ["train.lr", "0.001", "0.5", "1", "of", "8"]
               for line in done.output.splitlines()), done.output  # fmt: skip


def test_settings_of_an_earlier_run_stand_beside_the_last(tmp_path: Path) -> None:
    folder = runs(tmp_path / "a")
    file = tmp_path / "suites" / "small.yaml"
    again = [load_suite(file, ["train.lr=0.5"]).cells()[0]]
    Store(folder).write(again[0], record(again[0], 0.9))
    Store(folder).write_manifest({"name": "small"}, again)
    side, path = read_side(folder), "acceptability/tiny/full"
    assert (side.cells[f"{path}/s0"].settings["train.lr"], len(side.cells)) == ("0.5", 9)
    earlier = side.cells[f"{path} [{eight_cells(tmp_path)[0].key}]/s0"]
    assert earlier.settings["train.lr"] == "0.001"


def test_old_runs_are_read() -> None:
    old = read_side(Path(__file__).parents[1] / "data" / "old_run")
    assert sum(not cell.reason for cell in old.cells.values()) == 8


def test_forecasts_are_a_side(tmp_path: Path) -> None:
    side = read_side(forecasts(tmp_path, "a.json", {}, {"stage": "half"}))
    assert list(side.cells) == ["t/m/lora/s0", "t/m/lora/s0@half"]
    assert side.facts == {"torch": "2.13.0", "card": "l4"}
    cell = side.cells["t/m/lora/s0"]
    assert cell.sizes == {"peak": 100, "reserved": 200, "at rest": 10, "evaluation": 50}
    assert cell.settings == {"precision": "fp32", "batches": "8 x 16 x 0"}
    assert cell.part == "forward"


def test_several_cards_are_told_apart(tmp_path: Path) -> None:
    side = read_side(forecasts(tmp_path, "a.json", {}, {"gpu": "h100"}))
    assert list(side.cells) == ["t/m/lora/s0 on l4", "t/m/lora/s0 on h100"]


def test_forecasts_without_holds_are_compared_by_place(tmp_path: Path) -> None:
    before = forecasts(tmp_path, "a.json", {"holds": [], "later": "unknown"})
    held = [("weights.base", "a", 65), ("gradients", "a", 5), ("activations", "b", 40)]
    holds = [{"category": c, "path": p, "num_bytes": n} for c, p, n in held]
    after = forecasts(tmp_path, "b.json", {"peak_allocated": 110, "holds": holds})
    file = tmp_path / "all.json"
    done = CliRunner().invoke(app, [str(before), str(after), "--json", str(file)])
    assert done.exit_code == 0, done.output
    [cell] = json.loads(file.read_text())["cells"]
    assert cell["places"] == [
        {"category": "", "module": "a", "before": 60, "after": 70, "moved": 10}
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not forecasts"),
        ("{}", "it is no list of forecasts"),
        ("[]", "entries"),
        ("[1]", "entries"),
        ('[{"cell": "a"}]', "gpu"),
        ('[{"cell": "a", "gpu": "b", "peak_allocated": "much"}]', "peak_allocated"),
        ("[" * 100_000, "not forecasts"),
        ("\udcff", "not forecasts"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=said) as error:
        read_side(file)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)
