"""Progress in the terminal: a line per finished cell, and a bar for each that runs."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from harness.record import MARKS
from harness.units import clock, gib, score

if TYPE_CHECKING:
    from harness.engines.base import Event
    from harness.record import Record


class Live:
    """Prints what the engine reports; plain lines where the output is not a terminal."""

    def __init__(self, total: int, done_before: int) -> None:
        self.total, self.done_before, self.finished = total, done_before, 0
        self.console = Console(soft_wrap=True, highlight=False)
        self.began = time.monotonic()
        self.bars: Progress | None = None
        self.tasks: dict[str, TaskID] = {}
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} {task.fields[note]}"),
                TimeElapsedColumn(),
            )
            self.bars = Progress(*columns, console=self.console, transient=True)

    def __enter__(self) -> Live:
        if self.done_before:
            self.console.print(f"{self.done_before} cells already have a record")
        if self.bars:
            self.bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bars:
            self.bars.stop()

    def listen(self, event: Event) -> None:
        """Show one event of the engine."""
        if event.record is not None:
            self.finished += 1
            self._drop_bar(event.cell.path)
            self.console.print(self._line(event.record))
            for sentence in event.record.shortfalls:
                self.console.print(
                    f"{' ' * 9}short of what it is for: {sentence}", style="yellow", markup=False
                )
        elif self.bars and event.progress:
            self._move_bar(event.cell.path, event.progress)

    def _line(self, record: Record) -> str:
        count = f"{self.finished}/{self.total}".rjust(7)
        figures = MARKS[record.outcome]
        if record.outcome == "ok" and record.memory:
            peak = gib(record.memory.peak_training)
            figures = f"{record.main_metric} {score(record.main_score)}  peak {peak} GiB"
        if record.outcome == "crashed" and record.message:
            figures += f": {record.message.splitlines()[0]}"
        elapsed = clock(time.monotonic() - self.began)
        return f"{count}  {elapsed}  {record.path}  {figures}  ({record.seconds:.0f} s)"

    def _move_bar(self, path: str, progress: dict[str, Any]) -> None:
        assert self.bars is not None
        if path not in self.tasks:
            self.tasks[path] = self.bars.add_task(path, total=None, note="")
        loss = progress.get("loss")
        note = str(progress.get("doing", "")) if loss is None else f"loss {loss:.4f}"
        self.bars.update(
            self.tasks[path],
            completed=progress.get("step", 0),
            total=progress.get("steps"),
            note=note,
        )

    def _drop_bar(self, path: str) -> None:
        if self.bars and path in self.tasks:
            self.bars.remove_task(self.tasks.pop(path))
