"""The local engine: one process per cell, on the GPUs of this machine or on its CPU."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import plugins
from harness.cell import new_record
from harness.engines.attempts import another, first, refuse
from harness.engines.base import End, Event, Order, conclude, kernel_oom_kills
from harness.engines.child import Child, Limits
from harness.engines.here import CPU, environment
from harness.engines.needs import Need
from harness.engines.placing import Device, Placed, Queue, Turn
from harness.store import Store
from harness.suite.cell import Cell

if TYPE_CHECKING:
    from harness.provenance import Invocation
    from harness.record import ExportKind, Record

ANY_CPU = Device("", CPU, sys.maxsize)  # one cell at a time, whatever it needs
WAKE = 0.5  # seconds at most until Ctrl-C is heard


@dataclass(frozen=True)
class _Over:
    """A cell that has left its devices, and its next attempt, if there is one."""

    placed: Placed
    again: Turn | None


class LocalEngine:
    """Runs cells in child processes and yields what they report.

    Args:
        store: where records and logs go.
        devices: of this machine; none for one cell at a time on the CPU.
        lock: descriptor of the store's lock, inherited so that it outlives a killed runner.
        checkpoint_seconds: training time between a cell's checkpoints.
        export: what every cell writes to deploy, if anything.
        invocation: how the run was asked for, for the records.
        limits: how long a cell may take, and how often one that crashed is run again.
    """

    def __init__(
        self,
        store: Store,
        devices: Sequence[Device],
        lock: int,
        checkpoint_seconds: float = 300.0,
        export: ExportKind | None = None,
        invocation: Invocation | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.store, self.lock = store, lock
        self.devices: Sequence[Device] = list(devices) or [ANY_CPU]
        self.checkpoint_seconds, self.export = checkpoint_seconds, export
        self.invocation, self.limits = invocation, limits or Limits()
        self._news: queue.SimpleQueue[Event | _Over] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    def run(
        self, cells: Sequence[Cell], listen: Callable[[Event], None], needs: Sequence[Need] = ()
    ) -> None:
        """Run all cells; `listen` is called in this thread. On Ctrl-C children are ended first.

        `needs` are the cells'; without them they run in their order, each alone on its device.
        """
        asked = list(needs) or [Need()] * len(cells)
        turns = [first(self.store, *each, self.limits) for each in zip(cells, asked, strict=True)]
        waiting = Queue(turns, self.devices)
        for turn, why in waiting.refused():
            listen(Event(turn.cell, record=refuse(self.store, turn, why, self.invocation)))
        try:
            self._serve(waiting, listen)
        except KeyboardInterrupt:
            self._stopping.set()
            self._serve(waiting, listen)
            raise

    def stop(self) -> None:
        """Have the cells end at their next step, as on Ctrl-C; `run` returns when they have."""
        self._stopping.set()

    def _serve(self, waiting: Queue, listen: Callable[[Event], None]) -> None:
        """Start what finds room and hear what runs, until nothing is left of either."""
        while True:
            wake = self._start(waiting)
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            if not self._threads and self._news.empty() and (
                self._stopping.is_set() or not len(waiting)
            ):  # fmt: skip
                return
            try:
                news = self._news.get(timeout=wake)
            except queue.Empty:
                continue
            if isinstance(news, Event):
                listen(news)
                continue
            waiting.ended(news.placed)
            if news.again is not None:
                waiting.put_back(news.again)

    def _start(self, waiting: Queue) -> float:
        """Start the cells that find room; returns the seconds after which to look again."""
        now = time.monotonic()
        while not self._stopping.is_set() and (placed := waiting.next(now)) is not None:
            thread = threading.Thread(target=self._work, args=(placed,), daemon=True)
            thread.start()
            self._threads.append(thread)
        later = waiting.wakes(now)
        return WAKE if later is None else min(WAKE, later)

    def _work(self, placed: Placed) -> None:
        """Run a cell, in a thread of its own."""
        turn, again = placed.turn, None
        try:
            record, end = self._run_one(placed)
            again = another(placed, record, end, self.limits, time.monotonic())
        except Exception as error:  # a full disk, say: the other cells are no worse for it
            record = new_record(turn.cell, "crashed", message=f"{type(error).__name__}: {error}")
        if again is not None:
            self._news.put(Event(turn.cell, put_off=again.attempts[-1]))
        else:
            self._news.put(Event(turn.cell, record=record))
        self._news.put(_Over(placed, again))

    def _run_one(self, placed: Placed) -> tuple[Record, End]:
        """Run a cell; returns its record, and how its process ended."""
        turn, began, kills = placed.turn, time.monotonic(), kernel_oom_kills()
        cell, log = turn.cell, self.store.log_file(turn.cell)
        self._news.put(Event(cell, progress={"doing": "starting"}))
        child = Child(self._order(placed), log, environment(placed.devices))
        code, limit = child.attend(
            self.limits, self._stopping, lambda news: self._news.put(Event(cell, progress=news))
        )
        end = End(
            code,
            time.monotonic() - began,
            self._stopping.is_set(),
            oom_kills=kernel_oom_kills() - kills,
            held=child.held,
            limit=limit,
        )
        return conclude(self.store, cell, end, self.invocation, turn.attempts), end

    def _order(self, placed: Placed) -> Order:
        return Order(
            plugins=plugins.loaded(),
            folder=self.store.folder,
            lock=self.lock,
            checkpoint_seconds=self.checkpoint_seconds,
            export=self.export,
            invocation=self.invocation,
            **placed.told(),
        )
