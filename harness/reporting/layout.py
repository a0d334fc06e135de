"""How wide a table is, and into which narrower ones it is cut: by columns, never in a number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.printed import one_line
from harness.reporting.columns import Column, R, Table

# Columns of text, with the edges of a Markdown table 100: a page of GitHub shows them all.
MAIN_WIDTH = 96
SPACE = 3  # between two columns
NAME_WIDTH = 24  # the first column may wrap, and counts no more than this


def fits(table: Table[Any], width: int, *, wrap: bool = False) -> bool:
    """Tell whether a table is no wider than that; `wrap`: headers may wrap between words."""
    name, *others = widths(table, wrap=wrap)
    return min(name, NAME_WIDTH) + sum(SPACE + each for each in others) <= width


def widths(table: Table[Any], *, wrap: bool = False) -> list[int]:
    """Return how wide each column of a table is."""
    titles = [column.title.split() if wrap else [column.title] for column in table.columns]
    return [
        max(len(one_line(text)) for text in (*title, *texts))
        for title, texts in zip(titles, zip(*table.texts, strict=True), strict=True)
    ]


def parts(table: Table[R], width: int, *, wrap: bool = False) -> list[Table[R]]:
    """Cut a table between columns into ones that fit; each begins with the first column."""
    if not table.rows:
        return [table]
    name, *others = table.columns
    first, *wide = widths(table, wrap=wrap)
    room = width - min(first, NAME_WIDTH)
    cut: list[list[Column[Any]]] = [[name]]
    left = room
    for column, needed in zip(others, wide, strict=True):
        left -= SPACE + needed
        if left < 0 and len(cut[-1]) > 1:
            cut.append([name])
            left = room - SPACE - needed
        cut[-1].append(column)
    tables = [
        replace(
            table, columns=columns, title=f"{table.title}{', continued' if n else ''}", notes=()
        )
        for n, columns in enumerate(cut)
    ]
    return [*tables[:-1], replace(tables[-1], notes=table.notes)]
