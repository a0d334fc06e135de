"""Progress in the terminal: what every running cell does, how long it has and how long it needs."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live as Refreshed
from rich.table import Table
from rich.text import Text

from harness.engines.pace import Running, time_left
from harness.printed import one_line
from harness.record import MARKS
from harness.reporting.terminal import plain_console
from harness.units import clock, gib, score

if TYPE_CHECKING:
    from harness.engines.base import Event
    from harness.record import Record

# Seconds between two lines of a log about what still runs.
HEARTBEAT = 30.0


class Live:
    """Prints what the engine reports: a line per finished cell, and what the others are at.

    On a terminal that is a line for each running cell and one for the suite, always up to date; in
    a log a line when a cell starts and, while it runs, one every `heartbeat` seconds.
    """

    def __init__(
        self,
        total: int,
        done_before: int,
        console: Console | None = None,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        self.total, self.done_before, self.heartbeat = total, done_before, heartbeat
        self.console = console or plain_console(soft_wrap=True)
        self.began = time.monotonic()
        self.running: dict[str, Running] = {}
        self.seconds: list[float] = []  # of the cells that finished
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
            self.running.pop(path, None)
            self.seconds.append(event.record.seconds)
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
                self.running[path] = Running(now)
                if not self._shown:
                    self.console.print(f"{self._place(now)}  {path}  starts")
            self.running[path].hear(event.progress, now)

    def _line(self, record: Record) -> str:
        figures = MARKS[record.outcome]
        if record.outcome == "ok" and record.memory:
            peak = gib(record.memory.peak_training)
            main = score(record.main_score, record.main_metric)
            figures = f"{record.main_metric} {main}  peak {peak} GiB"
        if record.outcome == "crashed" and record.message:
            figures += f": {one_line(record.message.splitlines()[0])}"
        place = self._place(time.monotonic())
        return f"{place}  {record.path}  {figures}  ({record.seconds:.0f} s)"

    def _place(self, now: float) -> str:
        """Return how many cells have finished, and when it is."""
        return f"{len(self.seconds)}/{self.total}".rjust(7) + f"  {clock(now - self.began)}"

    def _left(self, now: float) -> str:
        left = time_left(self.running.values(), self.seconds, self.total, now)
        return "" if left is None else f"about {clock(left)} left"

    def _screen(self) -> RenderableType:
        """Return a line per running cell and the suite's: each fits the terminal's width."""
        now, width = time.monotonic(), self.console.width
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(ratio=1, no_wrap=True)
        for justify in ("left", "right", "right"):
            grid.add_column(justify=justify, no_wrap=True)
        for path, cell in list(self.running.items()):
            left = cell.left(now)
            rest = "" if left is None else f"{clock(left)} left"
            spent = clock(now - cell.stage_began)
            room = width - sum(len(text) + 2 for text in (cell.doing, spent, rest))
            grid.add_row(Text(_end_of(path, room)), cell.doing, spent, rest)
        suite = f"{self._place(now)}  {self._left(now)}".rstrip()
        return Group(grid, Text(f"{suite}  (cells finished, elapsed)", overflow="ellipsis"))

    def _beat(self) -> None:
        while not self._ended.wait(self.heartbeat):
            now = time.monotonic()
            for path, cell in list(self.running.items()):
                rest = [f"cell {clock(left)}" for left in [cell.left(now)] if left is not None]
                rest += [f"all {self._left(now)}"] if self._left(now) else []
                spent = clock(now - cell.stage_began)
                told = "  ".join([self._place(now), path, f"{cell.doing} for {spent}", *rest])
                self.console.print(told)


def _end_of(path: str, room: int) -> str:
    """Return the path, or what fits of its end: method and seed tell cells apart."""
    return path if len(path) <= room else "…" + path[len(path) - max(0, room - 1) :]
