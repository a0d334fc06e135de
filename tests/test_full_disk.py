"""Disks that are full, read-only or gone: what is finished stays, and what is wrong is said."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cells import rows, suite_file
from commands import headroom
from records import eight_cells, record
from typer.testing import CliRunner

from harness import doctor, durable, report, run
from harness.engines.base import Event
from harness.engines.local import ANY_CPU, LocalEngine
from harness.engines.needs import Need
from harness.store import Store
from harness.suite.cell import Cell
from harness.suite.load import load_suite

pytestmark = pytest.mark.usefixtures("forked_cells")
SMALL = (rows(16, 8), "train.epochs=1")
FULL = os.strerror(errno.ENOSPC)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return the mount point of a small disk; skips where nobody may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk of one's own here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the space that is left."""
    junk = folder / "junk"
    with junk.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(4096))
    return junk


def drafts(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.name.endswith((".tmp", ".new"))]


def test_a_disk_that_fills_up_keeps_what_is_finished(disk: Path, tmp_path: Path) -> None:
    cells = load_suite(suite_file(tmp_path, "bitfit, full"), SMALL).cells()
    store, ended = Store(disk / "out"), []
    store.write_manifest({"name": "small"}, cells)

    def listen(event: Event) -> None:
        if event.record is not None:
            ended.append(event.record)
            fill(disk)

    with store.lock() as lock:
        LocalEngine(store, [], lock).run(cells, listen)
    assert [one.outcome for one in ended] == ["ok", "crashed"]
    assert FULL in (ended[1].message or "")
    assert [one.path for one in store.records()] == [cells[0].path]
    assert drafts(disk) == []
    first = store.record_file(cells[0]).read_bytes()
    command = [str(tmp_path / "small.yaml"), *SMALL, "--out", str(store.folder)]
    done = CliRunner().invoke(run.app, command)
    assert done.exit_code == 2
    assert f"error: {store.folder / '.lease.'}" in done.output
    assert FULL in done.output
    (disk / "junk").unlink()
    assert CliRunner().invoke(run.app, command).exit_code == 0
    assert store.record_file(cells[0]).read_bytes() == first, "it ran again"
    assert [one.outcome for one in store.records()] == ["ok", "ok"]


def test_a_file_that_cannot_be_written_whole_is_not_there(tmp_path: Path) -> None:
    """A limit of bytes a file does what a full disk does, where nobody may mount one."""
    file, out = suite_file(tmp_path, "bitfit"), tmp_path / "out"
    command = ["run", str(file), *SMALL, "--out", str(out), "--retries", "0"]
    limit = 5000  # bytes: more than a record of a crash has, less than one of a run
    done = headroom(tmp_path, *command, file_bytes=limit)
    [cell] = load_suite(file, SMALL).cells()
    assert done.returncode == 1, done.stderr
    assert os.strerror(errno.EFBIG) in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    crash = Store(out).read(cell)
    assert crash is not None
    assert (crash.outcome, os.strerror(errno.EFBIG) in (crash.message or "")) == ("crashed", True)
    assert drafts(out) == []
    assert headroom(tmp_path, *command).returncode == 0
    assert Store(out).is_done(cell)


class Engine:
    """Runs nothing: each cell ends with a record, and then something happens."""

    export = None
    devices = (ANY_CPU,)

    def __init__(self, store: Store, then: Callable[[], None]) -> None:
        self.store, self.then = store, then

    def run(
        self, cells: Sequence[Cell], listen: Callable[[Event], None], needs: Sequence[Need] = ()
    ) -> None:
        for cell in cells:
            self.store.write(cell, record(cell, 0.5))
            listen(Event(cell, record=self.store.read(cell)))
        self.then()


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Store, list[Cell]]:
    """Return a folder whose cells have all run, without a report."""
    cells, store = eight_cells(tmp_path), Store(tmp_path / "run")
    store.write_manifest({"name": "small"}, cells)
    for cell in cells:
        store.write(cell, record(cell, 0.5))
    return store, cells


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_report_that_cannot_be_written_hides_neither_table_nor_exit_code(
    finished: tuple[Store, list[Cell]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    interrupted: bool,
) -> None:
    store, cells = finished

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, FULL)

    def then() -> None:
        monkeypatch.setattr(durable, "_to_disk", full)
        if interrupted:
            raise KeyboardInterrupt

    engine: Any = Engine(store, then)
    assert run._work(engine, cells, cells) == (130 if interrupted else 1)
    told = capsys.readouterr()
    assert f"no report: {store.folder / 'report.md'}: {FULL}\n" in told.err
    assert "acceptability" in told.out
    assert "lora-r8" in told.out
    assert drafts(store.folder) == []
    assert len(store.records()) == len(cells)


def test_a_folder_that_goes_away_takes_nothing_with_it(
    finished: tuple[Store, list[Cell]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, cells = finished
    engine: Any = Engine(store, lambda: store.folder.rename(tmp_path / "away") and None)
    assert run._work(engine, cells, cells[:2]) == 1
    assert f"no report: {store.folder} holds no run" in capsys.readouterr().err
    assert len(Store(tmp_path / "away").records()) == len(cells)


def test_a_folder_that_moves_while_cells_run_keeps_both_halves(tmp_path: Path) -> None:
    cells = load_suite(suite_file(tmp_path, "bitfit, full"), SMALL).cells()
    store, away = Store(tmp_path / "out"), tmp_path / "away"
    ended = []

    def listen(event: Event) -> None:
        if event.record is not None:
            ended.append(event.record)
            if not away.exists():
                store.folder.rename(away)

    with store.lock() as lock:
        LocalEngine(store, [], lock).run(cells, listen)
    assert [one.outcome for one in ended] == ["ok", "ok"]
    assert [Store(away).is_done(cell) for cell in cells] == [True, False]
    assert [store.is_done(cell) for cell in cells] == [False, True]


def test_a_read_only_folder_can_be_read(
    disk: Path, finished: tuple[Store, list[Cell]], tmp_path: Path
) -> None:
    folder = disk / "run"
    finished[0].folder.rename(tmp_path / "whole")
    subprocess.run(["cp", "-r", str(tmp_path / "whole"), str(folder)], check=True)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

    def invoke(app: Any, *arguments: Any) -> tuple[int, str]:
        done = CliRunner().invoke(app, [str(each) for each in arguments])
        assert "Traceback" not in done.output
        return done.exit_code, " ".join(done.output.split())

    refused = os.strerror(errno.EROFS)
    code, told = invoke(report.app, folder)
    assert (code, "lora-r8" in told) == (2, True)
    assert f"error: {folder / 'report.md'}: {refused}" in told
    assert invoke(report.app, folder, "--out", tmp_path / "report")[0] == 0
    code, told = invoke(doctor.app, folder)
    assert (code, "nothing can be written here" in told) == (0, True)
    code, told = invoke(run.app, tmp_path / "small.yaml", "--out", folder)
    assert (code, f": {refused}" in told) == (2, True)


def test_a_place_where_no_record_can_be_written_is_found_before_the_first_cell(
    tmp_path: Path,
) -> None:
    file, out = suite_file(tmp_path, "bitfit"), tmp_path / "out"
    out.mkdir()
    (out / "records").write_text("no folder")
    done = CliRunner().invoke(run.app, [str(file), *SMALL, "--out", str(out)])
    assert done.exit_code == 2
    assert f"error: {out / 'records'}" in done.output
    assert not (out / "logs").exists()


def test_a_records_folder_of_someone_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, store = eight_cells(tmp_path), Store(tmp_path / "run")
    store.make_room(cells)
    theirs = store.record_file(cells[3]).parent
    monkeypatch.setattr(os, "access", lambda path, mode: path != theirs)  # root may write anywhere
    with pytest.raises(PermissionError) as error:
        store.make_room(cells)
    assert error.value.filename == str(theirs)
