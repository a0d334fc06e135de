"""A cell's process that hangs, dies, or leaves others behind: nothing waits for it for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from cells import cell_of

from harness.cell import new_record
from harness.engines import worker
from harness.engines.base import Event, Order
from harness.engines.child import Limits, _opened
from harness.engines.local import LocalEngine
from harness.record import Record
from harness.store import Store
from harness.suite.cell import Cell
from harness.units import clock

pytestmark = pytest.mark.usefixtures("forked_cells")
# Seconds that a cell has until it trains: a fork needs two, where nothing else runs.
START = 20.0 if torch.cuda.is_available() else 12.0
Make = Callable[..., list[Cell]]


def run(store: Store, cells: Sequence[Cell], **limits: float) -> list[Event]:
    """Run the cells; returns how they ended."""
    events: list[Event] = []
    with store.lock() as lock:
        LocalEngine(store, [], lock, limits=Limits(back_off=0.1, **limits)).run(  # type: ignore[arg-type]
            cells, events.append
        )
    return [event for event in events if event.progress is None]


def one(events: list[Event]) -> Record:
    """Return the record of the only end."""
    [record] = [event.record for event in events]
    assert record is not None
    return record


def is_gone(process: int) -> bool:
    """Tell whether the process ends, within a moment; an entry that nobody takes note of counts."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if psutil.Process(process).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.1)
    return False


def test_a_cell_that_hangs_is_ended_and_says_where(tmp_path: Path, odd_cells: Make) -> None:
    store, began = Store(tmp_path / "out"), time.monotonic()
    record = one(run(store, odd_cells("time.sleep(1000)"), silent=START, grace=1.0))
    assert time.monotonic() - began < START + 100
    assert record.outcome == "crashed"
    assert record.message == f"hangs: nothing heard of it for {clock(START)} (--silent-minutes)"
    assert 'odd.py", line 7 in load' in (record.log_tail or "")


def test_a_cell_that_takes_too_long_leaves_a_checkpoint(tmp_path: Path, odd_cells: Make) -> None:
    cells, store = odd_cells("pass", "train.epochs=100000"), Store(tmp_path / "out")
    record = one(run(store, cells, cell=START))
    assert record.outcome == "interrupted"
    assert record.message == f"time limit: not done after {clock(START)} (--cell-minutes)"
    assert (store.checkpoint_folder(cells[0]) / "state.json").is_file()


@pytest.mark.parametrize(
    "start",
    [
        "child = subprocess.Popen(['sleep', '600'], close_fds=False).pid",
        "child = os.fork() or time.sleep(600)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
        "child = subprocess.Popen(['sleep', '600'], close_fds=False, start_new_session=True).pid",
    ],
)
def test_what_a_cell_leaves_behind_keeps_nobody_waiting(
    tmp_path: Path, odd_cells: Make, start: str
) -> None:
    """A process of its own, a fork, and one that leaves the cell's group: the last one lives on."""
    noted = tmp_path / "child"
    cells = odd_cells(f"{start}\nopen({str(noted)!r}, 'w').write(str(child))", "train.epochs=1")
    store, began = Store(tmp_path / "out"), time.monotonic()
    assert one(run(store, cells)).outcome == "ok"
    assert time.monotonic() - began < 300, "it was waited for"
    with store.lock(patience=0.5):  # nobody holds it any more
        pass
    child = int(noted.read_text())
    if "new_session" in start:
        os.kill(child, signal.SIGKILL)
    assert is_gone(child)


def test_a_crash_is_tried_again_once_behind_the_others(tmp_path: Path, odd_cells: Make) -> None:
    first = tmp_path / "tried"
    load = f"if not os.path.exists({str(first)!r}):\n"
    load += f"    open({str(first)!r}, 'w')\n    os.kill(os.getpid(), signal.SIGKILL)"
    cells = odd_cells(load, "train.epochs=1", methods="full, bitfit")
    events = run(Store(tmp_path / "out"), cells)
    assert [(event.cell, event.put_off) for event in events] == [
        (cells[0], "signal SIGKILL"), (cells[1], None), (cells[0], None)
    ]  # fmt: skip
    assert [event.record.outcome for event in events if event.record] == ["ok", "ok"]
    assert [event.record.attempts for event in events if event.record] == [[], ["signal SIGKILL"]]


@pytest.mark.parametrize(
    ("load", "retries", "tries"),
    [
        ("raise UserError('a mistake')", 3, 1),  # it would be one another time, too
        ("raise ValueError('odd')", 0, 1),
        ("raise ValueError('odd')", 2, 3),
        ("raise MemoryError", 1, 2),
    ],
)
def test_how_often_a_cell_is_tried(
    tmp_path: Path, odd_cells: Make, load: str, retries: int, tries: int
) -> None:
    counted = tmp_path / "tries"
    load = f"open({str(counted)!r}, 'a').write('x')\n{load}"
    store, cells = Store(tmp_path / "out"), odd_cells(load)
    record = run(store, cells, retries=retries)[-1].record
    assert counted.read_text() == "x" * tries
    assert record is not None
    assert len(record.attempts) == tries - 1
    assert not store.is_done(cells[0])


def test_a_record_that_finds_no_room_takes_the_checkpoint_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, store = cell_of(tmp_path, "bitfit", "train.epochs=1"), Store(tmp_path / "out")
    saved = store.checkpoint_folder(cell) / "large"
    write = Store.write

    def full(store: Store, cell: Cell, record: Record) -> None:
        if saved.exists():
            raise OSError(28, "No space left on device")
        write(store, cell, record)

    def save(cell: Cell, *_: Any) -> Record:
        saved.parent.mkdir(parents=True)
        saved.touch()
        return new_record(cell)

    monkeypatch.setattr(Store, "write", full)
    monkeypatch.setattr(worker, "run_cell", save)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    reading, writing = os.pipe()
    order = Order(cell=cell.model_dump(mode="json"), plugins=[], folder=store.folder, lock=0,
                  progress=writing, checkpoint_seconds=1.0)  # fmt: skip
    worker._run(order)
    os.close(reading)
    assert store.is_done(cell)


def test_a_killed_runner_takes_all_of_a_cell_with_it(tmp_path: Path) -> None:
    """The process that forecasts, too: the folder is free at once."""
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "name: large\nmodel: {config: roberta-base}\nmethods: [lora]\n"
        "tasks: [{name: acceptability, train_rows: 16, evaluation_rows: 8}]\n"
    )
    out = tmp_path / "out"
    runner = subprocess.Popen(
        [sys.executable, "-m", "harness.run", str(suite), "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    deadline, family = time.monotonic() + 120, []
    while len(family) < 2 and time.monotonic() < deadline:  # the cell, and its forecast
        family = psutil.Process(runner.pid).children(recursive=True) if out.exists() else []
        time.sleep(0.05)
    assert len(family) >= 2
    runner.kill()
    runner.communicate(timeout=20)
    assert all(is_gone(process.pid) for process in family)
    with Store(out).lock(patience=1.0):
        pass


def test_a_folder_that_goes_between_being_made_and_being_used_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, make, times = tmp_path / "logs" / "one.log", Path.mkdir, []

    def made_and_moved(folder: Path, *rest: Any, **options: Any) -> None:
        make(folder, *rest, **options)
        times.append(folder)
        if len(times) == 1:
            folder.rename(tmp_path / "away")

    monkeypatch.setattr(Path, "mkdir", made_and_moved)
    with _opened(log) as opened:
        opened.write(b"told")
    assert log.read_bytes() == b"told"
