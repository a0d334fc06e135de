"""Tables in the terminal, and a counter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Grid

from harness.reporting.columns import Table

# Without a terminal rich assumes 80 columns, which would wrap every cell of a log.
LOG_WIDTH = 200


def print_tables(tables: Sequence[Table[Any]], notes: Sequence[str]) -> None:
    """Print the tables and, below, what their figures mean."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=LOG_WIDTH)
    for table in tables:
        grid = Grid(title=table.title, title_justify="left", box=box.SIMPLE_HEAD)
        for index, header in enumerate(table.headers):
            grid.add_column(header, justify="right" if index else "left", overflow="fold")
        for row in table.texts:
            grid.add_row(*row)
        console.print(grid)
        for note in table.notes:
            console.print(note, style="yellow", markup=False)
    for note in notes:
        console.print(note, style="dim")


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show `what n/N` on one line of a terminal while the context is open; nothing in a log."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    with console.status(what) as status:
        yield lambda done, total: status.update(f"{what} {done}/{total}")
