"""Tables in the terminal, and a counter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Grid

from harness.printed import lines, one_line
from harness.reporting.columns import Table
from harness.units import clock

# Without a terminal rich assumes 80 columns, which would wrap every cell of a log.
LOG_WIDTH = 200
SPACE = 3  # between two columns


def plain_console(**options: Any) -> Console:
    """Return a console that prints text as it is: brackets and colons are no markup of rich's."""
    return Console(markup=False, emoji=False, highlight=False, **options)


def print_tables(tables: Sequence[Table[Any]], notes: Sequence[str]) -> None:
    """Print the tables and, below, what their figures mean."""
    console = plain_console()
    if not console.is_terminal:
        console = plain_console(width=LOG_WIDTH)
    for table in tables:
        grid_rows = [list(map(one_line, row)) for row in (table.headers, *table.texts)]
        columns = list(zip(*grid_rows, strict=True))
        for number, part in enumerate(_parts(columns, console.width)):
            title = one_line(table.title) + (", continued" if number else "")
            grid = Grid(title=title, title_justify="left", box=box.SIMPLE_HEAD)
            name, *figures = part
            grid.add_column(name[0], overflow="fold")
            for column in figures:
                grid.add_column(column[0], justify="right", min_width=_least(column))
            for row in zip(*(texts for _, *texts in part), strict=True):
                grid.add_row(*row)
            console.print(grid)
        for note in table.notes:
            console.print(lines(note), style="yellow")
    for note in notes:
        console.print(lines(note), style="dim")


def _parts(columns: Sequence[tuple[str, ...]], width: int) -> list[list[tuple[str, ...]]]:
    """Split a table, by columns, into ones that fit the width; each begins with the first column.

    A header may wrap between words, the first column anywhere, and nothing else.
    """
    first, *rest = columns
    room = width - SPACE - min(max(map(len, first)), width // 2)
    parts: list[list[tuple[str, ...]]] = []
    left = -1
    for column in rest:
        needed = SPACE + _least(column)
        if needed > left:
            parts.append([first])
            left = room
        parts[-1].append(column)
        left -= needed
    return parts or [[first]]


def _least(column: tuple[str, ...]) -> int:
    header, *texts = column
    return max(map(len, (*header.split(), *texts)))


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show `what n/N` and the time left in a terminal while the context is open, not in a log."""
    console = plain_console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    began = time.monotonic()

    def show(done: int, total: int) -> None:
        spent = time.monotonic() - began
        left = clock(spent / done * (total - done)) if done else "-"
        status.update(f"{what} {done}/{total}  {clock(spent)}  about {left} left")

    with console.status(what) as status:
        yield show
