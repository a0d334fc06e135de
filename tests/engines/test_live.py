"""What the terminal and the log show while cells run, and how long the rest will take."""

from __future__ import annotations

import re
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from records import eight_cells, record
from rich.console import Console

from harness.engines.base import Event
from harness.engines.live import Live
from harness.engines.pace import Finished, Running, time_left
from harness.suite.cell import Cell


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    return eight_cells(tmp_path)


def heard(began: float, *events: tuple[float, dict[str, Any]]) -> Running:
    cell = Running(began)
    for now, progress in events:
        cell.hear(progress, now)
    return cell


def at(step: int) -> dict[str, Any]:
    return {"step": step, "steps": 100}


def test_a_stage_has_its_own_time() -> None:
    cell = heard(10.0, (12.0, {"doing": "loading model"}), (15.0, {"doing": "forecasting"}))
    assert (cell.doing, cell.stage_began, cell.left(20.0)) == ("forecasting", 15.0, None)
    cell.hear({"doing": "training", **at(0)}, 30.0)
    cell.hear({"loss": 0.251, **at(20)}, 40.0)
    assert (cell.doing, cell.stage_began) == ("training 20/100  loss 0.251", 30.0)


def test_what_is_left_of_a_cell_is_its_own_pace() -> None:
    cell = heard(0.0, (10.0, {"doing": "training", **at(0)}), (20.0, at(20)))
    assert cell.left(20.0) == pytest.approx(40.0)
    assert cell.left(25.0) == pytest.approx(35.0), "between two reports time goes on"
    resumed = heard(0.0, (10.0, {"doing": "training", **at(60)}), (20.0, at(80)))
    assert resumed.left(20.0) == pytest.approx(10.0)
    assert heard(0.0, (10.0, at(0)), (20.0, at(100))).left(20.0) is None, "no step is left"


def test_slow_first_steps_are_forgotten() -> None:
    cell = heard(0.0, (10.0, at(0)), (100.0, at(4)))
    assert cell.left(100.0) is None, "too few steps to say"
    for step in range(5, 60):
        cell.hear(at(step), 100.0 + (step - 4))
    assert cell.left(155.0) == pytest.approx(41.0)


def test_what_is_left_of_a_suite() -> None:
    fresh, half = Running(90.0), heard(0.0, (50.0, at(0)), (100.0, at(50)))
    two = [Finished(40.0), Finished(60.0)]
    assert time_left([fresh], [], [None, None], 100.0) is None, "nothing tells yet"
    assert time_left([half], [], [], 100.0) == pytest.approx(50.0)
    assert time_left([half], [], [None, None], 100.0) == pytest.approx(50.0 + 2 * 150.0)
    assert time_left([fresh], two, [None], 100.0) == pytest.approx(40.0 + 50.0)
    assert time_left([fresh, fresh], two, [], 100.0) == pytest.approx(40.0), "side by side"
    assert time_left([], [Finished(40.0)], [], 100.0) == 0.0


def test_what_is_left_of_a_suite_goes_by_the_flops_of_its_cells() -> None:
    seen = [Finished(110.0, 100.0), Finished(60.0, 50.0)]  # 10 s, and one for each FLOP
    running = Running(90.0, flops=40.0)
    assert time_left([running], seen, [], 100.0) == pytest.approx(40.0)
    assert time_left([running], seen, [20.0, 10.0], 100.0) == pytest.approx(40.0 + 30.0 + 20.0)
    assert time_left([running] * 2, seen, [20.0, 10.0, 10.0], 100.0) == pytest.approx(80.0)
    assert time_left([running], seen, [None], 100.0) == pytest.approx(40.0 + 85.0), "the mean"
    alike = [Finished(110.0, 100.0), Finished(90.0, 100.0)]
    assert time_left([], alike, [50.0], 100.0) == pytest.approx(100.0), "nobody knows its start"
    falling = [Finished(60.0, 100.0), Finished(110.0, 50.0)]
    assert time_left([], falling, [1.0], 100.0) == pytest.approx(85.0), "no pace below nothing"


def test_many_cells_leave_the_suite_s_line_on_the_screen(cells: list[Cell]) -> None:
    file = StringIO()
    console = Console(file=file, force_terminal=True, width=80, height=6, highlight=False)
    with Live(total=9, done_before=0, console=console) as live:
        live._shown.stop()
        for cell in cells:
            live.listen(Event(cell, progress={"doing": "starting"}))
        lines = shown(live, file)
    assert len(lines) == 5
    assert lines[3].strip() == "and 5 more run"
    assert lines[4].split()[0] == "0/9"
    file = StringIO()
    console = Console(file=file, force_terminal=False, soft_wrap=True, highlight=False)
    with Live(total=9, done_before=0, console=console, heartbeat=0.1) as live:
        for cell in [*cells, cells[0].model_copy(update={"seed": 7})]:
            live.listen(Event(cell, progress={"doing": "starting"}))
        time.sleep(0.25)
    beats = [line for line in file.getvalue().splitlines() if "starts" not in line]
    assert {line.split("  ")[-1] for line in beats} == {"9 cells run"}


def shown(live: Live, file: StringIO) -> list[str]:
    """The screen as it is now."""
    file.truncate(0)
    live.console.print(live._screen())
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue()).strip("\0\n").splitlines()


def test_a_terminal_shows_stage_time_and_rest_within_80_columns(cells: list[Cell]) -> None:
    file = StringIO()
    console = Console(file=file, force_terminal=True, width=80, highlight=False)
    long = cells[0].model_copy(update={"method_label": "lora-r8-qv-upper-half-with-more-to-say"})
    with Live(total=3, done_before=0, console=console) as live:
        live._shown.stop()
        live.listen(Event(cells[0], record=record(cells[0], 0.5, seconds=1.0)))
        live.listen(Event(long, progress={"doing": "starting"}))
        live.listen(Event(long, progress={"doing": "loading data"}))
        row, suite = shown(live, file)
        assert row.startswith("acceptability/tiny/lora") or row.startswith("…")
        assert "to-say/s0  loading data  00:00" in row
        assert re.match(r" +1/3  00:0\d  about 00:0\d left  \(cells finished, elapsed\)", suite)
        live.listen(Event(long, progress={"doing": "training", "step": 0, "steps": 120}))
        live.running[long.path].hear({"step": 0, "steps": 120}, time.monotonic() - 60.0)
        live.running[long.path]._heard.popleft()
        live.listen(Event(long, progress={"step": 60, "steps": 120, "loss": 0.4}))
        row, suite = shown(live, file)
        assert re.search(r"/s0  training 60/120  loss 0\.4  00:0\d  0(1:00|0:59) left$", row)
        assert max(map(len, (row, suite))) <= 80


def test_a_log_tells_of_starts_and_of_what_takes_long(cells: list[Cell]) -> None:
    file = StringIO()
    console = Console(file=file, force_terminal=False, soft_wrap=True, highlight=False)
    with Live(total=2, done_before=0, console=console, heartbeat=0.1) as live:
        live.listen(Event(cells[0], progress={"doing": "starting"}))
        live.listen(Event(cells[0], progress={"doing": "loading model"}))
        time.sleep(0.35)
        live.listen(Event(cells[0], record=record(cells[0], 0.5)))
    first, *beats, last = file.getvalue().splitlines()
    assert first.split() == ["0/2", "00:00", cells[0].path, "starts"]
    assert 1 <= len(beats) <= 4
    assert all(line.endswith("  loading model for 00:00") for line in beats)
    assert "accuracy 50.00  peak 0.001 GiB" in last
    time.sleep(0.25)
    assert file.getvalue().splitlines()[-1] == last, "nothing beats on"
