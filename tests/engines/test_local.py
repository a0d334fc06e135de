"""The local engine: a process for each cell, and what is heard of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from cells import rows, suite_file

from harness.engines.base import Event
from harness.engines.child import Limits
from harness.engines.live import Live
from harness.engines.local import LocalEngine
from harness.store import Store
from harness.suite.cell import Cell
from harness.suite.load import load_suite

pytestmark = pytest.mark.usefixtures("forked_cells")


def test_cells_run_in_order_and_a_mistake_costs_only_its_own(tmp_path: Path) -> None:
    file = suite_file(tmp_path, "bitfit, {lora: {targets: [nonsense]}}, full")
    cells = load_suite(file, [rows(16, 8), "train.epochs=1"]).cells()
    store, events = Store(tmp_path / "out"), []
    with store.lock() as lock:
        LocalEngine(store, [], lock).run(cells, events.append)
    ends = [event.record for event in events if event.record is not None]
    assert [end.path for end in ends] == [cell.path for cell in cells]
    assert [end.outcome for end in ends] == ["ok", "crashed", "ok"]
    assert "no linear layer of this bert model is called 'nonsense'" in (ends[1].message or "")
    doing = [e.progress["doing"] for e in events if e.progress and "doing" in e.progress]
    assert doing[:3] == ["starting", "loading data", "loading model"]
    assert store.log_file(cells[1]).read_text().startswith("acceptability/tiny-bert/lora")


def test_no_error_leaves_a_cell_hanging(tmp_path: Path, odd_cells: Any) -> None:
    """Whatever a task does: the process that waits to forecast ends with the cell's."""
    store, events = Store(tmp_path / "out"), []
    cells = odd_cells("raise ValueError('no such rows')")
    began = time.monotonic()
    with store.lock() as lock:
        LocalEngine(store, [], lock, limits=Limits(retries=0)).run(cells, events.append)
    assert time.monotonic() - began < 60
    end = events[-1].record
    assert end is not None
    assert end.outcome == "crashed"
    assert "ValueError: no such rows" in (end.log_tail or "")
    assert end.message == "ValueError: no such rows"  # what the table shows


def test_lines_of_finished_cells(tmp_path: Path, capsys: object) -> None:
    from records import eight_cells, record

    cells = eight_cells(tmp_path)
    with Live(total=2, done_before=3) as live:
        live.listen(Event(cells[0], progress={"doing": "loading data"}))
        live.listen(Event(cells[0], record=record(cells[0], 0.5)))
        live.listen(Event(cells[1], record=record(cells[1], 0.5, outcome="oom")))
        said = {"outcome": "crashed", "message": "ValueError: no such rows"}
        live.listen(Event(cells[2], record=record(cells[2], 0.5, **said)))
        live.listen(Event(cells[3], put_off="signal SIGKILL"))
    first, start, *lines = capsys.readouterr().out.splitlines()  # type: ignore[attr-defined]
    assert first == "3 cells already have a record"
    assert start.split() == ["0/2", "00:00", cells[0].path, "starts"]
    assert "1/2" in lines[0]
    assert "accuracy 50.00  peak 0.001 GiB" in lines[0]
    assert "OOM" in lines[1]
    assert "CRASHED: ValueError: no such rows" in lines[2]
    assert lines[3].split("  ")[-1] == "signal SIGKILL: it is tried again"


def test_an_error_of_the_engine_itself_is_a_cell_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, say: the driver neither stops nor waits for ever, and says why."""
    cells, store = load_suite(suite_file(tmp_path, "full, bitfit")).cells(), Store(tmp_path / "out")
    events: list[Event] = []

    def full(cell: Cell) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "log_file", full)
    with store.lock() as lock:
        LocalEngine(store, [], lock).run(cells, events.append)
    ended = [event.record for event in events if event.record is not None]
    assert [record.outcome for record in ended] == ["crashed", "crashed"]
    assert all("No space left" in (record.message or "") for record in ended)
