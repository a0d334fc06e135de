"""Run folders of one suite become one, as if one run had written it."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import eight_cells, record
from typer.testing import CliRunner

from harness.main import app
from harness.merging import merge
from harness.store import Store
from harness.suite.cell import Cell


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    return eight_cells(tmp_path)


def ran(folder: Path, cells: list[Cell], scores: dict[int, float], outcome: str = "ok") -> Store:
    """Write a run folder of these cells, with records of some."""
    store = Store(folder)
    for number, score in scores.items():
        store.write(cells[number], record(cells[number], score, outcome=outcome))
        log = store.log_file(cells[number])
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"{folder.name} {number}")
    store.write_manifest({"name": "small"}, cells)
    return store


def test_what_two_machines_ran_becomes_one_folder(tmp_path: Path, cells: list[Cell]) -> None:
    first = ran(tmp_path / "a", cells, {0: 0.1, 1: 0.2, 2: 0.3})
    first.write(cells[3], record(cells[3], 0.0, outcome="crashed"))
    second = ran(tmp_path / "b", cells, {2: 0.9, 3: 0.4, 4: 0.5})
    second.write(cells[5], record(cells[5], 0.0, outcome="interrupted"))
    (second.checkpoint_folder(cells[5])).mkdir(parents=True)
    (second.checkpoint_folder(cells[5]) / "state.json").write_text("saved")
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.*") if file.is_file()}
    out = Store(tmp_path / "all")
    merged = merge([first.folder, second.folder], out.folder)
    assert dict(merged.taken) == {str(first.folder): 3, str(second.folder): 3}
    assert (merged.missing, merged.twice, merged.left_out) == (2, [cells[2].path], [])
    scores = {one.path: one.main_score for one in out.records() if one.outcome == "ok"}
    assert scores == {cell.path: score for cell, score in
                      zip(cells, (0.1, 0.2, 0.3, 0.4, 0.5), strict=False)}  # fmt: skip
    assert out.manifest() == first.manifest()
    assert out.log_file(cells[3]).read_text() == "b 3"
    assert (out.checkpoint_folder(cells[5]) / "state.json").read_text() == "saved"
    assert before == {file: file.read_bytes() for file in before}, "the folders stay as they are"
    assert [cell for cell in cells if not out.is_done(cell)] == cells[5:], "what runs there now"


def test_a_merge_is_made_again_when_more_has_run(tmp_path: Path, cells: list[Cell]) -> None:
    first, second = ran(tmp_path / "a", cells, {0: 0.1}), ran(tmp_path / "b", cells, {1: 0.2})
    out = Store(tmp_path / "all")
    merge([first.folder, second.folder], out.folder)
    second.write(cells[2], record(cells[2], 0.3))
    merged = merge([first.folder, second.folder], out.folder)
    assert merged.taken[str(second.folder)] == 1
    assert merged.twice == []
    assert [one.main_score for one in out.records()] == [0.1, 0.2, 0.3]
    into = merge([first.folder, second.folder], first.folder)
    assert into.taken == {str(first.folder): 1, str(second.folder): 2}
    assert len(first.records()) == 3


def test_other_settings_other_suites_and_folders_in_use_are_refused(
    tmp_path: Path, cells: list[Cell]
) -> None:
    first, second = ran(tmp_path / "a", cells, {0: 0.1}), ran(tmp_path / "b", cells, {1: 0.2})

    def refused() -> str:
        told = CliRunner().invoke(
            app, ["merge", str(first.folder), str(second.folder), "--out", str(tmp_path / "all")]
        )
        assert told.exit_code == 2
        assert not (tmp_path / "all").exists()
        return " ".join(told.output.split())

    with second.lock():
        assert f"{second.folder} is in use by process" in refused()
    other = cells[0].model_copy(update={"train": cells[0].train.model_copy(update={"lr": 0.5})})
    second.write_manifest({"name": "small"}, [other])
    assert f"{cells[0].path} has other settings in {second.folder} than in" in refused()
    second.write_manifest({"name": "large"}, cells)
    assert "the folders are of different suites: small in" in refused()


def test_the_command_tells_where_records_come_from(tmp_path: Path, cells: list[Cell]) -> None:
    first, second = ran(tmp_path / "a", cells, {0: 0.1}), ran(tmp_path / "b", cells, {1: 0.2})
    command = ["merge", str(first.folder), str(second.folder), "--out", str(tmp_path / "all")]
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 0, told.output
    assert [line.split()[0] for line in told.output.splitlines()] == ["1", "1", "6"]
    second.record_file(cells[1]).write_text("torn")
    assert CliRunner().invoke(app, command).exit_code == 1
