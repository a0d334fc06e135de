"""The local engine: one process per cell, one cell at a time per device."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness import plugins
from harness.cell import new_record
from harness.engines.base import End, Event, Order, conclude, kernel_oom_kills, worth_another
from harness.engines.child import Child, Limits
from harness.engines.halving import Attempt, Halving
from harness.store import Store
from harness.suite.cell import Cell

if TYPE_CHECKING:
    from harness.provenance import Invocation
    from harness.record import ExportKind, Record


@dataclass(frozen=True)
class _Turn:
    """A cell that waits.

    Attributes:
        attempt: its batches, and how earlier attempts ended.
        crashes: how many of them did; smaller batches may follow any number of times.
        not_before: until when it waits (monotonic seconds).
    """

    cell: Cell
    attempt: Attempt
    crashes: int = 0
    not_before: float = 0.0


class LocalEngine:
    """Runs cells in child processes and yields what they report.

    Args:
        store: where records and logs go.
        devices: CUDA device numbers, one cell at a time on each; empty for one cell on the CPU.
        lock: descriptor of the store's lock, inherited so that it outlives a killed runner.
        checkpoint_seconds: training time between a cell's checkpoints.
        export: what every cell writes to deploy, if anything.
        invocation: how the run was asked for, for the records.
        limits: how long a cell may take, and how often one that crashed is run again.
        halving: what happens to a cell that runs out of memory; None: nothing.
    """

    def __init__(
        self,
        store: Store,
        devices: Sequence[str],
        lock: int,
        checkpoint_seconds: float = 300.0,
        export: ExportKind | None = None,
        invocation: Invocation | None = None,
        limits: Limits | None = None,
        halving: Halving | None = None,
    ) -> None:
        self.store, self.devices, self.lock = store, list(devices), lock
        self.checkpoint_seconds, self.export = checkpoint_seconds, export
        self.invocation, self.limits = invocation, limits or Limits()
        self.halving = halving or Halving(store, on=False)
        self._waiting: queue.SimpleQueue[_Turn] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._stopping = threading.Event()

    def run(self, cells: Sequence[Cell], listen: Callable[[Event], None]) -> None:
        """Run all cells; `listen` is called in this thread. On Ctrl-C children are ended first."""
        for cell in cells:
            self._waiting.put(_Turn(cell, self.halving.first(cell)))
        slots = self.devices or [""]
        workers = [threading.Thread(target=self._work, args=(slot,), daemon=True) for slot in slots]
        for worker in workers:
            worker.start()
        try:
            self._listen(len(workers), listen)
        except KeyboardInterrupt:
            self._stopping.set()
            self._listen(sum(worker.is_alive() for worker in workers), listen)
            raise

    def _listen(self, alive: int, listen: Callable[[Event], None]) -> None:
        while alive:
            try:
                event = self._events.get(timeout=0.5)  # wakes up for Ctrl-C
            except queue.Empty:
                continue
            if event is None:
                alive -= 1
            else:
                listen(event)

    def _work(self, device: str) -> None:
        while not self._stopping.is_set():
            try:
                turn = self._waiting.get_nowait()
            except queue.Empty:
                break
            if self._stopping.wait(turn.not_before - time.monotonic()):
                break
            try:
                record, again = self._run_one(turn, device)
            except Exception as error:  # a full disk, say: the other cells are no worse for it
                record = new_record(
                    turn.cell, "crashed", message=f"{type(error).__name__}: {error}"
                )
                again = False
            smaller = self.halving.after(turn.cell, record)
            if smaller is not None and not self._stopping.is_set():
                self._waiting.put(_Turn(turn.cell, smaller, turn.crashes))
                self._events.put(Event(turn.cell, put_off=smaller.ended[-1]))
            elif again and turn.crashes < self.limits.retries:
                self._put_off(turn, record)
            else:
                self._events.put(Event(turn.cell, record=record))
        self._events.put(None)

    def _put_off(self, turn: _Turn, record: Record) -> None:
        """Let the other cells go first: what it lacked, such as memory, may be there then."""
        ended = (record.message or record.outcome).splitlines()[0]
        until = time.monotonic() + self.limits.back_off * 2**turn.crashes
        attempt = replace(turn.attempt, ended=(*turn.attempt.ended, ended))
        self._waiting.put(_Turn(turn.cell, attempt, turn.crashes + 1, until))
        self._events.put(Event(turn.cell, put_off=ended))

    def _run_one(self, turn: _Turn, device: str) -> tuple[Record, bool]:
        """Run a cell; returns its record, and whether another attempt may end otherwise."""
        cell, began, kills = turn.cell, time.monotonic(), kernel_oom_kills()
        log = self.store.log_file(cell)
        self._events.put(Event(cell, progress={"doing": "starting"}))
        child = Child(self._order(turn), log, _environment(device))
        code, limit = child.attend(
            self.limits, self._stopping, lambda news: self._events.put(Event(cell, progress=news))
        )
        end = End(
            code,
            time.monotonic() - began,
            self._stopping.is_set(),
            oom_kills=kernel_oom_kills() - kills,
            held=child.held,
            limit=limit,
        )
        record = conclude(self.store, cell, end, self.invocation, turn.attempt.ended)
        return record, worth_another(record, end)

    def _order(self, turn: _Turn) -> Order:
        return Order(
            cell=turn.cell.model_dump(mode="json"),
            plugins=plugins.loaded(),
            folder=self.store.folder,
            lock=self.lock,
            checkpoint_seconds=self.checkpoint_seconds,
            export=self.export,
            invocation=self.invocation,
            attempts=list(turn.attempt.ended),
            batches=turn.attempt.batches,
        )


def _environment(device: str) -> dict[str, str]:
    environment = {"TOKENIZERS_PARALLELISM": "false"}
    return {**environment, "CUDA_VISIBLE_DEVICES": device} if device else environment
