"""What the doctor finds in a run folder: what the report would leave out, and what lies about."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from fuzz import changed_bytes, fuzzed
from hypothesis import given
from hypothesis import strategies as st
from records import eight_cells, record
from typer.testing import CliRunner

from harness import doctor, inspection
from harness.export.reading import read_export
from harness.inspection import Finding, inspect
from harness.reporting.report import report_on
from harness.store import MANIFEST, Store
from harness.suite.cell import Cell
from harness.training.checkpoint import Checkpoints


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    return eight_cells(tmp_path)


@pytest.fixture
def store(cells: list[Cell], tmp_path: Path) -> Store:
    """Six records of eight, and the log of each."""
    store = Store(tmp_path / "run")
    store.write_manifest({"name": "small"}, cells)
    for number, cell in enumerate(cells[:6]):
        outcome = "oom" if number == 5 else "ok"
        store.write(cell, record(cell, 0.5 + number / 100, outcome=outcome))
        store.log_file(cell).parent.mkdir(parents=True, exist_ok=True)
        store.log_file(cell).write_text("text")
    return store


def invoke(*arguments: Any) -> tuple[int, str]:
    done = CliRunner().invoke(doctor.app, [str(each) for each in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, done.output


def files(store: Store) -> dict[str, tuple[int, bytes]]:
    return {
        str(file): (file.stat().st_mtime_ns, file.read_bytes())
        for file in store.folder.rglob("*")
        if file.is_file()
    }


def reasons(store: Store, *, wrong: bool) -> dict[str, str]:
    return {each.file: each.reason for each in inspect(store).findings if each.wrong == wrong}


def test_a_whole_folder_has_nothing_wrong_and_stays_as_it_is(store: Store) -> None:
    before = files(store)
    code, output = invoke(store.folder)
    assert code == 0
    first, _, last = output.rpartition("\n  ")
    assert " ".join(first.split()) == (
        f"{store.folder}: suite small, 8 cells: 5 ok, 1 OOM, 2 without a record that can be read"
    )
    assert last == "nothing is wrong\n"
    assert files(store) == before


RECORDS = {
    "torn": (lambda text: text[:99], "not a record that can be read"),
    "a digit": (lambda text: text.replace(b'"main_score": 0.5', b'"main_score": 0.9'), "checksum"),
    "old schema": (
        lambda text: text.replace(b'"schema_version": 1', b'"schema_version": 0'),
        "schema_version is 0",
    ),
    "another cell's": (lambda text: text.replace(b"/s0", b"/s1"), "checksum"),
}


@pytest.mark.parametrize(("damage", "said"), RECORDS.values(), ids=RECORDS)
def test_a_record_that_cannot_be_believed_is_wrong(
    cells: list[Cell], store: Store, damage: Any, said: str
) -> None:
    file = store.record_file(cells[0])
    file.write_bytes(damage(file.read_bytes()))
    code, output = invoke(store.folder)
    assert code == 1
    assert f"\n  wrong: {file.relative_to(store.folder)}\n" in output
    assert said in " ".join(output.split())
    assert inspect(store).outcomes == {"ok": 4, "oom": 1}


def test_a_record_of_another_cell_is_told_whose_it_is(cells: list[Cell], store: Store) -> None:
    file = store.record_file(cells[1])
    file.write_bytes(store.record_file(cells[0]).read_bytes())
    [(place, why)] = reasons(store, wrong=True).items()
    assert place == str(file.relative_to(store.folder))
    assert f"it is the record of {cells[0].path}" in why


def test_what_no_table_can_be_made_of_is_wrong_as_the_report_has_it(
    cells: list[Cell], store: Store
) -> None:
    content = json.loads(store.record_file(cells[0]).read_text())
    content.pop("checksum")
    store.record_file(cells[0]).write_text(json.dumps(content | {"cell": {}}))
    [why] = reasons(store, wrong=True).values()
    assert "no table can be made with it" in why


def test_records_that_the_manifest_does_not_list_are_read_too(
    cells: list[Cell], store: Store
) -> None:
    """Those of another suite in the same folder, those set aside, and where nothing is listed."""
    first = store.record_file(cells[0])
    first.with_name(f"{first.name}.unread-1").write_text("{")
    store.record_file(cells[1]).write_text("{")
    store.write_manifest({"name": "small"}, cells[2:])
    found = inspect(store)
    assert (found.cells, found.others, found.wrong) == (6, 1, 1)
    assert f"records/{cells[0].path}-{cells[0].key}.json.unread-1" in reasons(store, wrong=False)
    (store.folder / MANIFEST).write_text("{")
    found = inspect(store)
    assert (found.suite, found.others, found.wrong) == (None, 5, 2)
    assert found.findings[0].file == MANIFEST
    assert "5 records that can be read, of no known suite" in " ".join(
        invoke(store.folder)[1].split()
    )


def test_a_folder_in_a_records_place_is_wrong(cells: list[Cell], store: Store) -> None:
    store.record_file(cells[0]).unlink()
    store.record_file(cells[0]).mkdir()
    assert (
        "no regular file"
        in reasons(store, wrong=True)[f"records/{cells[0].path}-{cells[0].key}.json"]
    )


def test_checkpoints_are_read_and_those_that_no_cell_waits_for_are_noted(
    cells: list[Cell], store: Store
) -> None:
    done, waits, damaged, of_before, torn = (cells[n] for n in (0, 6, 7, 1, 2))
    for cell in (done, waits, damaged, of_before, torn):
        assert Checkpoints(store.checkpoint_folder(cell), 1).save({"x": torch.ones(2)}) is None
    (store.checkpoint_folder(damaged) / "state.json").write_text("{}")
    folder = store.checkpoint_folder(of_before)
    for name in ("SHA256SUMS", "tensors.safetensors"):
        (folder / name).unlink()
    draft = store.checkpoint_folder(torn)
    draft.rename(draft.with_name(f"{draft.name}.new"))
    wrong, noted = reasons(store, wrong=True), reasons(store, wrong=False)

    def place(cell: Cell) -> str:
        return f"checkpoints/{cell.path}-{cell.key}"

    assert wrong == {
        place(damaged): "state.json is not what was written (its checksum differs)",
        place(of_before): "tensors.safetensors is missing",
    }
    assert set(noted) == {place(done), f"{place(torn)}.new"}
    assert all("no cell waits" in why for why in noted.values())
    store.write_manifest({"name": "small"}, cells[:6])
    assert "the suite has none like it" in reasons(store, wrong=False)[place(waits)]
    draft.mkdir()
    assert reasons(store, wrong=False)[f"{place(torn)}.new"] == "left unfinished"


def test_a_state_of_before_checksums_is_read_as_a_run_reads_it(
    cells: list[Cell], store: Store
) -> None:
    folder = store.checkpoint_folder(cells[6])
    Checkpoints(folder, 1).save({"x": torch.ones(2)})
    (folder / "SHA256SUMS").unlink()
    assert inspect(store).wrong == 0
    tensors = folder / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1])
    assert inspect(store).wrong == 1


def test_exports_are_read_and_those_that_records_speak_of_are_missed(
    pruned: tuple[Any, Path], tmp_path: Path, cells: list[Cell], store: Store
) -> None:
    ran, source = pruned
    there = source / ran.export.folder
    folder = store.export_folder(cells[0], "model")
    folder.parent.mkdir(parents=True)
    subprocess.run(["cp", "-r", str(there), str(folder)], check=True)
    export = {"kind": "model", "folder": f"{folder.relative_to(store.folder)}", "bytes": 1}
    store.write(cells[0], record(cells[0], 0.5, export=export))
    assert inspect(store).findings == []
    assert len(list(folder.glob("*.safetensors"))) == 2
    for weights in folder.glob("*.safetensors"):
        whole = weights.read_bytes()
        weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        [why] = reasons(store, wrong=True).values()
        assert why == f"{weights.name} is not what was written (its checksum differs)"
        with pytest.raises(Exception, match="holds no export"):
            read_export(folder)
        weights.write_bytes(whole)
    folder.rename(tmp_path / "away")
    [(place, why)] = reasons(store, wrong=False).items()
    assert place == export["folder"]
    assert "speaks of it" in why


def test_drafts_and_logs(cells: list[Cell], store: Store) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, os.getpid()):
        (store.folder / f".results.csv.{pid}.tmp").write_text("text")
    log = store.log_file(cells[0])
    log.unlink()
    os.mkfifo(log)
    assert reasons(store, wrong=True) == {
        str(log.relative_to(store.folder)): "it is no regular file"
    }
    assert reasons(store, wrong=False) == {
        f".results.csv.{gone.pid}.tmp": f"a draft of process {gone.pid}, which is gone",
        f".results.csv.{os.getpid()}.tmp": f"a draft of process {os.getpid()}, which runs",
    }


def test_a_lock_that_is_held_is_told_with_its_holder(store: Store) -> None:
    with store.lock() as descriptor:
        code, output = invoke(store.folder)
        told = " ".join(output.split())
        assert code == 0
        assert f"in use by process {os.getpid()} on {socket.gethostname()} since" in told
        assert ", which runs; " in told
        os.pwrite(descriptor, f"process {2**22 + 1} on {socket.gethostname()} since".encode(), 0)
        child = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])
        told = reasons(store, wrong=False)[".lock"]
        assert "which is gone; " in told
    assert f"it is open in process {child.pid}" in reasons(store, wrong=False)[".lock"]
    child.kill()
    child.wait()
    assert reasons(store, wrong=False) == {}


def test_little_space_is_noted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "LITTLE", 2**60)
    assert "MiB are free" in reasons(store, wrong=False)["."]
    assert invoke(store.folder)[0] == 0


def test_json_says_the_same(cells: list[Cell], store: Store, tmp_path: Path) -> None:
    store.record_file(cells[0]).write_text("{")
    code, output = invoke(store.folder, "--json", "-")
    assert code == 1
    [content] = json.loads(output)
    assert content["outcomes"] == {"ok": 4, "oom": 1}
    assert [Finding(**each) for each in content["findings"]] == inspect(store).findings
    file = tmp_path / "new" / "doctor.json"
    code, output = invoke(store.folder, "--json", file)
    assert code == 1
    assert "wrong: records/" in output
    assert json.loads(file.read_text())[0]["findings"] == content["findings"]
    assert invoke(store.folder, "--json", "/")[0] == 2


def test_several_folders_and_those_that_are_none(
    cells: list[Cell], store: Store, tmp_path: Path
) -> None:
    other = Store(tmp_path / "other")
    other.write_manifest({"name": "small"}, cells)
    code, output = invoke(store.folder, other.folder)
    assert code == 0
    assert output.count("nothing is wrong") == 2
    (other.folder / MANIFEST).write_text("{")
    assert invoke(store.folder, other.folder)[0] == 1
    for folder in (tmp_path / "none", tmp_path):
        code, output = invoke(store.folder, folder)
        assert code == 2
        assert f"{folder} holds no run" in output
    assert f"did you mean {other.folder} {store.folder}?" in output


def test_names_with_control_characters_stay_on_their_line(store: Store) -> None:
    (store.folder / "records" / "a\x1b[2J\nb.json").write_text("{}")
    code, output = invoke(store.folder)
    assert code == 1
    assert "\x1b" not in output
    assert "a\\x1b[2J b.json" in output


def test_it_is_as_wide_as_the_terminal(
    cells: list[Cell], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for cell in cells[:4]:
        store.record_file(cell).write_text("{")
    lines = invoke(store.folder)[1].splitlines()
    assert all(len(line) <= 80 for line in lines if str(store.folder) not in line)


@fuzzed(25)
@given(data=st.data())
def test_whatever_is_changed_it_says_what_the_report_says(
    cells: list[Cell], store: Store, data: st.DataObject
) -> None:
    """Of the records; and a changed manifest ends neither in a traceback."""
    for number, cell in enumerate(cells[:6]):
        store.write(cell, record(cell, 0.5 + number / 100))
    store.write_manifest({"name": "small"}, cells)
    target = data.draw(st.sampled_from([MANIFEST, *(store.record_file(c) for c in cells[:3])]))
    file = store.folder / target
    file.write_bytes(changed_bytes(data, file.read_bytes()))
    found = inspect(store)
    if found.suite is None:
        assert [each.file for each in found.findings if each.wrong] == [MANIFEST]
        return
    told = {each.reason for each in report_on([store.held()]).left_out}
    assert {f"{each.file}: {each.reason}" for each in found.findings if each.wrong} == told
