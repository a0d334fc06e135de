"""Tables in the terminal, and a counter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from harness.printed import lines, one_line
from harness.reporting.columns import Column, Mark, R, Table
from harness.reporting.layout import NAME_WIDTH, fits, parts, widths
from harness.reporting.sections import Report
from harness.units import clock

# Without a terminal rich assumes 80 columns, which would wrap every cell of a log.
LOG_WIDTH = 200
STACKED_BELOW = 100  # columns: what is wider than such a terminal is no grid there
EDGE = 4  # around a grid
BAR_WIDTH = 12
STYLES: dict[Mark | None, str] = {"best": "bold", "second": "underline", None: ""}


def plain_console(**options: Any) -> Console:
    """Return a console that prints text as it is: brackets and colons are no markup of rich's."""
    return Console(markup=False, emoji=False, highlight=False, **options)


def terminal_width() -> int:
    """Return how many columns there are to print in."""
    console = plain_console()
    return console.width if console.is_terminal else LOG_WIDTH


def print_report(report: Report) -> None:
    """Print the tables that tell which and where the memory goes, and what their figures mean."""
    for section in report.sections:
        if len(report.sections) > 1:
            plain_console().print(one_line(section.group.name), style="bold")
        shown = [table for table in section.tables if not table.aside]
        print_tables(shown, [*section.facts, *section.details])


def print_tables(tables: Sequence[Table[Any]], notes: Sequence[str]) -> None:
    """Print the tables and, below, what their figures mean.

    A table that is too wide is cut between columns, or, in a terminal of less than 100 columns,
    told row by row. The best value of a column is bold and the second best underlined.
    """
    console = plain_console()
    if not console.is_terminal:
        console = plain_console(width=LOG_WIDTH)
    width = console.width - EDGE
    for table in tables:
        if console.width < STACKED_BELOW and table.rows and not fits(table, width, wrap=True):
            _print_stacked(console, table)
        else:
            for part in parts(table, width, wrap=True):
                console.print(_grid(part, width))
        for note in table.notes:
            console.print(lines(note), style="yellow")
    for note in notes:
        console.print(lines(note), style="dim")


def _grid(table: Table[Any], width: int) -> Grid:
    grid = Grid(title=one_line(table.title), title_justify="left", box=box.SIMPLE_HEAD)
    own = widths(table, wrap=True) if table.rows else [0] * len(table.columns)
    room = fits(table, width - BAR_WIDTH - EDGE) if table.rows else False
    cells: list[list[Text]] = []
    for number, column in enumerate(table.columns):
        name = one_line(column.title)
        if number == 0:
            grid.add_column(name, overflow="fold", min_width=min(own[0], NAME_WIDTH))
        else:
            grid.add_column(name, justify="right", min_width=own[number])
        cells.append([
            Text.assemble((one_line(texts[number]), STYLES[marks[number]]))
            for texts, marks in zip(table.texts, table.marks, strict=True)
        ])  # fmt: skip
        if column.bar and room:
            grid.add_column("", min_width=BAR_WIDTH)
            cells.append([Text(bar) for bar in _bars(column, table.rows)])
    for row in zip(*cells, strict=True):
        grid.add_row(*row)
    return grid


def _bars(column: Column[R], rows: Sequence[R]) -> list[str]:
    """Return a bar for each row, the longest for the largest value."""
    values = [column.rank(column.read(row)) or 0.0 for row in rows]
    most = max(values, default=0.0) or 1.0
    eighths = [round(8 * BAR_WIDTH * value / most) for value in values]
    return ["█" * (count // 8) + " ▏▎▍▌▋▊▉"[count % 8].strip() for count in eighths]


def _print_stacked(console: Console, table: Table[Any]) -> None:
    """Print a line for each value, below the name of its row."""
    console.print(f"\n{one_line(table.title)}\n", style="italic")
    columns = table.columns[1:]
    titles = [one_line(column.title) for column in columns]
    wide = max(map(len, titles), default=0)
    value = max(widths(table)[1:], default=0)
    bars = {column.title: _bars(column, table.rows) for column in columns if column.bar}
    for number, (texts, marks) in enumerate(zip(table.texts, table.marks, strict=True)):
        console.print(Text(f"  {one_line(texts[0])}", "bold"))
        for title, text, mark in zip(titles, texts[1:], marks[1:], strict=True):
            bar = f"  {bars[title][number]}" if title in bars else ""
            shown = one_line(text)
            pad = " " * (wide - len(title) + value - len(shown) + 2)
            console.print(Text.assemble(f"    {title}{pad}", (shown, STYLES[mark]), bar))
    console.print()


@contextmanager
def counting(what: str, *, aloud: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show `what n/N` and the time left in a terminal while the context is open.

    Of a log's lines it is none, or `aloud` the one that it begins.
    """
    console = plain_console(stderr=True)
    if not console.is_terminal:
        if aloud:
            console.print(what)
        yield lambda done, total: None
        return
    began = time.monotonic()

    def show(done: int, total: int) -> None:
        spent = time.monotonic() - began
        left = clock(spent / done * (total - done)) if done else "-"
        status.update(f"{what} {done}/{total}  {clock(spent)}  about {left} left")

    with console.status(what) as status:
        yield show
