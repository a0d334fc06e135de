"""The local engine: one process per cell, one cell at a time per device."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cell import EXIT_INTERRUPTED, EXIT_USER_ERROR, new_record
from harness.env import ROOT
from harness.record import Record
from harness.store import Store
from harness.suite.suite import Cell

if TYPE_CHECKING:
    from harness.export import Kind

LOG_TAIL_LINES = 40


@dataclass(frozen=True)
class Event:
    """Something a running cell reported: `record` when it finished, else `progress`."""

    cell: Cell
    progress: dict[str, Any] | None = None
    record: Record | None = None


class LocalEngine:
    """Runs cells in child processes and yields what they report.

    Args:
        store: where records and logs go.
        devices: CUDA device numbers, one cell at a time on each; empty for one cell on the CPU.
        lock: descriptor of the store's lock, inherited so that it outlives a killed runner.
        checkpoint_seconds: training time between a cell's checkpoints.
        export: what every cell writes to deploy, if anything.
    """

    def __init__(
        self,
        store: Store,
        devices: Sequence[str],
        lock: int,
        checkpoint_seconds: float = 300.0,
        export: Kind | None = None,
    ) -> None:
        self.store, self.devices, self.lock = store, list(devices), lock
        self.checkpoint_seconds, self.export = checkpoint_seconds, export
        self._children: set[subprocess.Popen[bytes]] = set()
        self._stopping = False

    def run(self, cells: Sequence[Cell], listen: Callable[[Event], None]) -> None:
        """Run all cells; `listen` is called in this thread. On Ctrl-C children are ended first."""
        waiting: queue.SimpleQueue[Cell] = queue.SimpleQueue()
        for cell in cells:
            waiting.put(cell)
        events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        slots = self.devices or [""]
        workers = [
            threading.Thread(target=self._work, args=(slot, waiting, events), daemon=True)
            for slot in slots
        ]
        for worker in workers:
            worker.start()
        try:
            self._listen(events, len(workers), listen)
        except KeyboardInterrupt:
            self._stop()
            self._listen(events, sum(worker.is_alive() for worker in workers), listen)
            raise

    @staticmethod
    def _listen(
        events: queue.SimpleQueue[Event | None], alive: int, listen: Callable[[Event], None]
    ) -> None:
        while alive:
            try:
                event = events.get(timeout=0.5)  # wakes up for Ctrl-C
            except queue.Empty:
                continue
            if event is None:
                alive -= 1
            else:
                listen(event)

    def _stop(self) -> None:
        self._stopping = True
        for child in list(self._children):
            child.send_signal(signal.SIGTERM)

    def _work(
        self,
        device: str,
        waiting: queue.SimpleQueue[Cell],
        events: queue.SimpleQueue[Event | None],
    ) -> None:
        while not self._stopping:
            try:
                cell = waiting.get_nowait()
            except queue.Empty:
                break
            events.put(Event(cell, record=self._run_one(cell, device, events)))
        events.put(None)

    def _run_one(self, cell: Cell, device: str, events: queue.SimpleQueue[Event | None]) -> Record:
        began, kills = time.monotonic(), _kernel_oom_kills()
        log = self.store.log_file(cell)
        log.parent.mkdir(parents=True, exist_ok=True)
        reading, writing = os.pipe()
        with log.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "harness.cell"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(device),
                pass_fds=(writing, self.lock),
                start_new_session=True,  # the terminal's Ctrl-C comes to the runner alone
            )
        os.close(writing)
        self._children.add(child)
        order = {"cell": cell.model_dump(mode="json"), "folder": str(self.store.folder),
                 "progress": writing, "checkpoint_seconds": self.checkpoint_seconds,
                 "export": self.export}  # fmt: skip
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(order).encode() + b"\n")
            child.stdin.flush()
        except BrokenPipeError:
            pass  # it died at once; its exit code tells
        with os.fdopen(reading, "rb") as stream:
            for line in stream:
                events.put(Event(cell, progress=json.loads(line)))
        code = child.wait()
        self._children.discard(child)
        child.stdin.close()
        return self._conclude(cell, code, time.monotonic() - began, _kernel_oom_kills() > kills)

    def _conclude(self, cell: Cell, code: int, seconds: float, oom_killed: bool) -> Record:
        """Return the record the cell wrote, or write one that says how it ended without."""
        record = self.store.read(cell)
        if code == 0 and record is not None:
            return record
        tail = _tail(self.store.log_file(cell))
        if self._stopping or code == EXIT_INTERRUPTED:
            record = new_record(cell, "interrupted", seconds)
        elif code == -signal.SIGKILL and oom_killed:
            record = new_record(cell, "oom", seconds, message="host memory: killed by the kernel")
        elif code == EXIT_USER_ERROR:
            record = new_record(cell, "crashed", seconds, message=tail.strip(), log_tail=tail)
        else:
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            record = new_record(cell, "crashed", seconds, message=how, log_tail=tail)
        self.store.write(cell, record)
        return record


def _environment(device: str) -> dict[str, str]:
    environment = dict(os.environ, PYTHONPATH=_python_path(), TOKENIZERS_PARALLELISM="false")
    if device:
        environment["CUDA_VISIBLE_DEVICES"] = device
    return environment


def _python_path() -> str:
    """Let the child import the code that runs here, wherever it was started."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def _kernel_oom_kills() -> int:
    """Return how many processes the kernel has killed for memory so far (0 where unknown)."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _tail(log: Path) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
    except OSError:
        return ""
