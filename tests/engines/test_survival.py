"""Nothing is lost: kill -9 of the runner and of a cell at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from cells import suite_file

from harness.engines.child import Limits
from harness.engines.local import LocalEngine
from harness.store import Store
from harness.suite.cell import Cell
from harness.suite.load import load_suite

METHODS, TWO_CELLS = "bitfit, full", ("train.epochs=1",)
# HEADROOM_KILLS=20 is the full exercise; two of each kind show the same in less time.
KILLS = int(os.environ.get("HEADROOM_KILLS", "4"))


def command(file: Path, out: Path, jobs: int = 1) -> list[str]:
    return [
        sys.executable, "-m", "harness.run", str(file), *TWO_CELLS, "--out", str(out),
        "--retries", "0", "--jobs", str(jobs),
    ]  # fmt: skip


def start(file: Path, out: Path, jobs: int = 1) -> subprocess.Popen[bytes]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command(file, out, jobs), **quiet)  # type: ignore[call-overload]


def hear_signals() -> None:
    """Undo what a shell's background, or nohup, ignores: started processes would inherit it."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def finished(out: Path) -> dict[str, tuple[bytes, int]]:
    """Records on disk, with what tells whether one was written again."""
    return {
        file.name + str(file.parent): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in out.glob("records/**/*.json")
    }


@pytest.mark.parametrize(("victim", "jobs"), [("runner", 2), ("cell", 1)])
def test_killed_at_random_moments(tmp_path: Path, victim: str, jobs: int) -> None:
    """Of cells that run side by side, too."""
    file, out = suite_file(tmp_path, METHODS), tmp_path / "out"
    store, cells = Store(out), load_suite(file, TWO_CELLS).cells()
    dice = random.Random(victim)
    for _ in range(KILLS // 2):
        done_before = {cell.path for cell in cells if store.is_done(cell)}
        records_before = {
            c.path: store.record_file(c).stat() for c in cells if c.path in done_before
        }
        runner = start(file, out, jobs)
        time.sleep(dice.uniform(1.0, 12.0))
        if victim == "runner":
            runner.kill()
            runner.wait()
        else:
            for child in psutil.Process(runner.pid).children(recursive=True):
                child.send_signal(signal.SIGKILL)
            runner.wait(timeout=300)
        for cell in cells:
            record = store.read(cell)
            assert record is not None or not store.record_file(cell).exists(), "a torn record"
            if cell.path in done_before:
                now = store.record_file(cell).stat()
                assert now.st_mtime_ns == records_before[cell.path].st_mtime_ns, "ran twice"
        if victim == "cell":
            outcomes = {r.outcome for c in cells if (r := store.read(c))}
            assert outcomes <= {"ok", "crashed"}
    assert start(file, out, jobs).wait(timeout=300) == 0
    assert {store.read(cell).beside for cell in cells} == {jobs - 1}  # type: ignore[union-attr]
    assert all(store.is_done(cell) for cell in cells)
    before = finished(out)
    assert start(file, out, jobs).wait(timeout=300) == 0
    assert finished(out) == before, "a finished cell ran again"
    assert (out / "report.md").exists()


def test_a_second_run_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    file, out = suite_file(tmp_path, METHODS), tmp_path / "out"
    with Store(out).lock():
        done = subprocess.run(command(file, out), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert f"in use by process {os.getpid()}" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    """So does a scheduler's signal, and the loss of the terminal, to which nothing is said then."""
    file, out = suite_file(tmp_path, METHODS), tmp_path / "out"
    endless = [*command(file, out), "train.epochs=1000"]
    runner = subprocess.Popen(endless, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              preexec_fn=hear_signals)  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(out.glob("logs/**/*.log")) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)
    children = psutil.Process(runner.pid).children(recursive=True)
    runner.send_signal(number)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 130
    assert "Traceback" not in output
    assert ("interrupted" in output) == (number != signal.SIGHUP)
    assert (out / "report.md").is_file()
    [record] = Store(out).records()
    assert record.outcome == "interrupted"
    _gone, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_ctrl_c_before_the_first_cell_ends_cleanly(tmp_path: Path) -> None:
    """While methods are tried on their models, in forks that hear the terminal's Ctrl-C, too."""
    file, out = suite_file(tmp_path, METHODS), tmp_path / "out"
    code = (
        "import sys, time, harness.training.attach as a\n"
        "a.attach = lambda *_: (print('trying', flush=True), time.sleep(60))\n"
        f"sys.argv[1:] = {command(file, out)[3:]!r}\n"
        "from harness.run import app\n"
        "app()\n"
    )
    runner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, start_new_session=True,
                              preexec_fn=hear_signals)  # fmt: skip
    assert runner.stdout is not None
    assert runner.stdout.readline() == "trying\n"
    os.killpg(runner.pid, signal.SIGINT)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 130
    assert "Traceback" not in output
    assert "interrupted" in output
    assert not out.exists()


LONG = """\
name: long
model: {config: tiny-bert}
tasks: [{name: acceptability, train_rows: 512, evaluation_rows: 16}]
methods: [{safe: {over: lora, tau: {quantile: 0.6}, max_warmup: 2, t_f: {epochs: 1}, probe: 16}}]
train: {batch_size: 8, epochs: 4, max_length: 16}
"""
STEPS = 256


@pytest.mark.usefixtures("forked_cells")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_cell_goes_on_from_its_checkpoint(tmp_path: Path, how: signal.Signals) -> None:
    """Killed, it goes on from the last one; interrupted, it writes one first."""
    file = tmp_path / "long.yaml"
    file.write_text(LONG)
    store, [cell] = Store(tmp_path / "out"), load_suite(file).cells()
    saved = store.checkpoint_folder(cell) / "state.json"

    def end() -> None:
        deadline = time.monotonic() + 120
        while not saved.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        leaders = [c.pid for c in psutil.Process().children() if os.getpgid(c.pid) == c.pid]
        os.kill(leaders[0] if how == signal.SIGKILL else os.getpid(), how)

    ending = threading.Thread(target=end)
    ending.start()
    with suppress(KeyboardInterrupt):
        run(store, cell, checkpoint_seconds=0.2)
    ending.join()
    record = store.read(cell)
    assert record is not None
    assert record.outcome == ("crashed" if how == signal.SIGKILL else "interrupted")
    if how == signal.SIGINT:
        assert "interrupted after step" in store.log_file(cell).read_text()
    assert saved.exists()
    run(store, cell)
    record = store.read(cell)
    assert record is not None
    assert (record.outcome, record.steps) == ("ok", STEPS)
    [step] = record.resumed_at
    assert 0 < step < STEPS
    assert not saved.parent.exists(), "a finished cell keeps no checkpoint"


def run(store: Store, cell: Cell, checkpoint_seconds: float = 300.0) -> None:
    with store.lock() as lock:
        engine = LocalEngine(store, [], lock, checkpoint_seconds, limits=Limits(retries=0))
        engine.run([cell], lambda _: None)
