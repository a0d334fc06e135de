"""Progress in the terminal: what every running cell does, how long it has and how long it needs."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live as Refreshed
from rich.table import Table
from rich.text import Text

from harness.engines.pace import Finished, Running, time_left
from harness.printed import one_line
from harness.record import MARKS
from harness.reporting.terminal import plain_console
from harness.suite.batches import ran
from harness.units import clock, gib, score

if TYPE_CHECKING:
    from harness.engines.base import Event
    from harness.record import Record

# Seconds between two lines of a log about what still runs.
HEARTBEAT = 30.0
MANY = 8  # cells of which a log no longer tells one by one that they run


class Live:
    """Prints what the engine reports: a line per finished cell, and what the others are at.

    On a terminal that is a line for each running cell and one for the suite, always up to date; in
    a log a line when a cell starts and, while it runs, one every `heartbeat` seconds; where very
    many run, one for all of them.

    Args:
        total: number of cells to run.
        done_before: cells that have a result from before.
        console: where it goes; None: standard output.
        heartbeat: seconds between two lines of a log about what still runs.
        flops: of the cells, by path, as far as they are known: for the time that is left.
    """

    def __init__(
        self,
        total: int,
        done_before: int,
        console: Console | None = None,
        heartbeat: float = HEARTBEAT,
        flops: Mapping[str, float | None] | None = None,
    ) -> None:
        self.total, self.done_before, self.heartbeat = total, done_before, heartbeat
        self.flops = dict(flops or {})
        self.console = console or plain_console(soft_wrap=True)
        self.began = time.monotonic()
        self.running: dict[str, Running] = {}
        self.finished: dict[str, Finished | None] = {}  # None: it never ran
        self._ended = threading.Event()
        self._shown: Refreshed | None = None
        if self.console.is_terminal:
            self._shown = Refreshed(
                get_renderable=self._screen, console=self.console, transient=True
            )

    def __enter__(self) -> Live:
        if self.done_before:
            self.console.print(f"{self.done_before} cells already have a record")
        if self._shown:
            self._shown.start()
        else:
            threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._shown:
            self._shown.stop()

    def listen(self, event: Event) -> None:
        """Show one event of the engine."""
        path, now = event.cell.path, time.monotonic()
        if event.record is not None:
            self._end(event.record, now)
            self.console.print(self._line(event.record))
            for sentence in event.record.shortfalls:
                self.console.print(
                    f"{' ' * 9}short of what it is for: {one_line(sentence)}", style="yellow"
                )
        elif event.put_off is not None:
            self.running.pop(path, None)
            self.console.print(
                f"{self._place(now)}  {path}  {one_line(event.put_off)}: it is tried again",
                style="yellow",
            )
        elif event.progress:
            if path not in self.running:
                self.running[path] = Running(now, self.flops.get(path))
                if not self._shown:
                    self.console.print(f"{self._place(now)}  {path}  starts")
            self.running[path].hear(event.progress, now)

    def _end(self, record: Record, now: float) -> None:
        """Take note of a cell's end; what a device has no room for says nothing of the time."""
        ran = self.running.pop(record.path, None)
        seconds = now - ran.began if ran else record.seconds
        end = Finished(seconds, self.flops.get(record.path))
        self.finished[record.path] = None if record.outcome == "unfit" else end

    def _line(self, record: Record) -> str:
        figures = MARKS[record.outcome]
        if record.outcome == "ok" and record.memory:
            peak = gib(record.memory.peak_training)
            main = score(record.main_score, record.main_metric)
            figures = f"{record.main_metric} {main}  peak {peak} GiB{_in_halves(record)}"
        if record.outcome == "oom":
            figures += _lack(record)
        if record.outcome in ("crashed", "unfit") and record.message:
            figures += f": {one_line(record.message.splitlines()[0])}"
        place = self._place(time.monotonic())
        return f"{place}  {record.path}  {figures}  ({record.seconds:.0f} s)"

    def _place(self, now: float) -> str:
        """Return how many cells have finished, and when it is."""
        return f"{len(self.finished)}/{self.total}".rjust(7) + f"  {clock(now - self.began)}"

    def _left(self, now: float) -> str:
        running = dict(self.running)
        waiting = [flops for path, flops in self.flops.items()
                   if path not in running and path not in self.finished]  # fmt: skip
        unknown = self.total - len(self.finished) - len(running) - len(waiting)
        waiting += [None] * unknown
        ended = [end for end in [*self.finished.values()] if end is not None]
        left = time_left(running.values(), ended, waiting, now)
        return "" if left is None else f"about {clock(left)} left"

    def _screen(self) -> RenderableType:
        """Return a line per running cell and the suite's: each fits the terminal's width."""
        now, width = time.monotonic(), self.console.width
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(ratio=1, no_wrap=True)
        for justify in ("left", "right", "right"):
            grid.add_column(justify=justify, no_wrap=True)
        cells = list(self.running.items())
        room_for = max(1, self.console.height - 3)  # with the suite's line, and that of the others
        for path, cell in cells[:room_for]:
            left = cell.left(now)
            rest = "" if left is None else f"{clock(left)} left"
            spent = clock(now - cell.stage_began)
            room = width - sum(len(text) + 2 for text in (cell.doing, spent, rest))
            grid.add_row(Text(_end_of(path, room)), cell.doing, spent, rest)
        suite = f"{self._place(now)}  {self._left(now)}".rstrip()
        if len(cells) > room_for:
            grid.add_row(f"and {len(cells) - room_for} more run", "", "", "")
        return Group(grid, Text(f"{suite}  (cells finished, elapsed)", overflow="ellipsis"))

    def _beat(self) -> None:
        while not self._ended.wait(self.heartbeat):
            now, cells = time.monotonic(), list(self.running.items())
            if len(cells) > MANY:
                place, left = self._place(now), self._left(now)
                self.console.print(f"{place}  {len(cells)} cells run  {left}".rstrip())
                continue
            for path, cell in cells:
                rest = [f"cell {clock(left)}" for left in [cell.left(now)] if left is not None]
                rest += [f"all {self._left(now)}"] if self._left(now) else []
                spent = clock(now - cell.stage_began)
                told = "  ".join([self._place(now), path, f"{cell.doing} for {spent}", *rest])
                self.console.print(told)


def _in_halves(record: Record) -> str:
    """Say with which batches a run came to its peak, where they are not those asked for."""
    if record.asked_batches is None:
        return ""
    return f" in batches of {ran(record)}, not {record.asked_batches}"


def _lack(record: Record) -> str:
    """Say what was alive when memory ran out, and what was forecast."""
    lack, stages = record.out_of_memory, record.forecast.stages if record.forecast else {}
    told = [lack.doing] if lack and lack.doing else []
    if lack and lack.alive is not None:
        told.append(f"{gib(lack.alive)} GiB alive")
    if stages:
        peak = max(stage.peak_allocated for stage in stages.values())
        told.append(f"forecast {gib(peak)} GiB")
    return f" ({', '.join(told)})" if told else ""


def _end_of(path: str, room: int) -> str:
    """Return the path, or what fits of its end: method and seed tell cells apart."""
    return path if len(path) <= room else "…" + path[len(path) - max(0, room - 1) :]
