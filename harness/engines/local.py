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
from typing import TYPE_CHECKING

from harness import plugins
from harness.cell import new_record
from harness.engines.base import End, Event, Order, conclude, kernel_oom_kills
from harness.env import ROOT
from harness.store import Store
from harness.suite.suite import Cell

if TYPE_CHECKING:
    from harness.provenance import Invocation
    from harness.record import ExportKind, Record


class LocalEngine:
    """Runs cells in child processes and yields what they report.

    Args:
        store: where records and logs go.
        devices: CUDA device numbers, one cell at a time on each; empty for one cell on the CPU.
        lock: descriptor of the store's lock, inherited so that it outlives a killed runner.
        checkpoint_seconds: training time between a cell's checkpoints.
        export: what every cell writes to deploy, if anything.
        invocation: how the run was asked for, for the records.
    """

    def __init__(
        self,
        store: Store,
        devices: Sequence[str],
        lock: int,
        checkpoint_seconds: float = 300.0,
        export: ExportKind | None = None,
        invocation: Invocation | None = None,
    ) -> None:
        self.store, self.devices, self.lock = store, list(devices), lock
        self.checkpoint_seconds, self.export = checkpoint_seconds, export
        self.invocation = invocation
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
            try:
                record = self._run_one(cell, device, events)
            except Exception as error:  # a full disk, say: the other cells are no worse for it
                record = new_record(cell, "crashed", message=f"{type(error).__name__}: {error}")
            events.put(Event(cell, record=record))
        events.put(None)

    def _run_one(self, cell: Cell, device: str, events: queue.SimpleQueue[Event | None]) -> Record:
        began, kills = time.monotonic(), kernel_oom_kills()
        log = self.store.log_file(cell)
        log.parent.mkdir(parents=True, exist_ok=True)
        reading, writing = os.pipe()
        with log.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "harness.engines.worker"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(device),
                pass_fds=(writing, self.lock),
                start_new_session=True,  # the terminal's Ctrl-C comes to the runner alone
            )
        self._children.add(child)
        try:
            code = self._attend(cell, child, (reading, writing), events)
        finally:
            self._children.discard(child)
            if child.poll() is None:  # nobody listens to it any more
                child.kill()
                child.wait()
        seconds, oom_killed = time.monotonic() - began, kernel_oom_kills() > kills
        end = End(code, seconds, self._stopping, oom_killed)
        return conclude(self.store, cell, end, self.invocation)

    def _attend(
        self,
        cell: Cell,
        child: subprocess.Popen[bytes],
        pipe: tuple[int, int],
        events: queue.SimpleQueue[Event | None],
    ) -> int:
        """Hand the child its order and pass on what it reports; returns its exit code."""
        reading, writing = pipe
        os.close(writing)
        events.put(Event(cell, progress={"doing": "starting"}))
        order = Order(
            cell=cell.model_dump(mode="json"), plugins=plugins.loaded(),
            folder=self.store.folder, progress=writing,
            checkpoint_seconds=self.checkpoint_seconds, export=self.export,
            invocation=self.invocation,
        )  # fmt: skip
        assert child.stdin is not None
        try:
            child.stdin.write(order.model_dump_json().encode() + b"\n")
            child.stdin.flush()
        except BrokenPipeError:
            pass  # it died at once; its exit code tells
        with os.fdopen(reading, "rb") as stream:
            for line in stream:
                events.put(Event(cell, progress=json.loads(line)))
        code = child.wait()
        child.stdin.close()
        return code


def _environment(device: str) -> dict[str, str]:
    environment = dict(os.environ, PYTHONPATH=_python_path(), TOKENIZERS_PARALLELISM="false")
    if device:
        environment["CUDA_VISIBLE_DEVICES"] = device
    return environment


def _python_path() -> str:
    """Let the child import the code that runs here, wherever it was started."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
