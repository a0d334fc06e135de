"""Tables as lists of columns: terminal, Markdown and CSV are made from the same list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from harness.units import giga, mib, millions, ratio, score, tera

R = TypeVar("R")
Plain = float | int | str | None  # what a machine reads: no text around a number


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column.

    Attributes:
        header: as people read it.
        read: takes the value out of a row.
        show: makes a text of the value.
        figures: for machines: header with its unit -> plain number (or word) of the value.
    """

    header: str
    read: Callable[[R], Any]
    show: Callable[[Any], str]
    figures: Mapping[str, Callable[[Any], Plain]]


@dataclass(frozen=True)
class Table(Generic[R]):
    """Rows under columns; the first column is a name, the others are figures.

    Attributes:
        notes: sentences about single rows, to stand under the table.
    """

    title: str
    columns: Sequence[Column[R]]
    rows: Sequence[R]
    notes: Sequence[str] = ()

    @property
    def headers(self) -> list[str]:
        """What people read above the columns."""
        return [column.header for column in self.columns]

    @property
    def texts(self) -> list[list[str]]:
        """Return every row as people read it."""
        return [[c.show(c.read(row)) for c in self.columns] for row in self.rows]

    @property
    def figure_headers(self) -> list[str]:
        """What machines read above the columns, units included."""
        return [header for column in self.columns for header in column.figures]

    @property
    def figures(self) -> list[list[Plain]]:
        """Return every row as machines read it."""
        return [
            [plain(value) for c in self.columns for value in [c.read(row)]
             for plain in c.figures.values()]
            for row in self.rows
        ]  # fmt: skip


def _same(value: Any) -> Any:
    return value


def words(header: str, read: Callable[[R], str | None]) -> Column[R]:
    """Return a column of words."""
    return Column(header, read, lambda text: "-" if text is None else text, {header: _same})


def number(
    header: str,
    read: Callable[[R], float | None],
    show: Callable[[Any], str],
    figure: str,
) -> Column[R]:
    """Return a column of numbers; `figure` is its header for machines."""
    return Column(header, read, show, {figure: _same})


def count(header: str, read: Callable[[R], int | None], figure: str) -> Column[R]:
    """Return a column of whole numbers."""
    return number(header, read, lambda n: "-" if n is None else f"{n:,}", figure)


def mebibytes(header: str, read: Callable[[R], float | None]) -> Column[R]:
    """Return a column of bytes, in MiB for people."""
    return number(header, read, mib, f"{header.removesuffix(' MiB')} (B)")


def parameters(header: str, read: Callable[[R], float | None]) -> Column[R]:
    """Return a column of numbers of parameters, in millions for people."""
    return number(header, read, millions, f"{header} (parameters)")


def percent(header: str, read: Callable[[R], float | None]) -> Column[R]:
    """Return a column of metrics, in per cent for people."""
    return number(header, read, score, f"{header} (fraction)")


def gigaflop(header: str, read: Callable[[R], float | None]) -> Column[R]:
    """Return a column of operations, in GFLOP for people."""
    return number(header, read, giga, f"{_without('GFLOP', header)} (FLOP)")


def teraflop(header: str, read: Callable[[R], float | None]) -> Column[R]:
    """Return a column of operations, in TFLOP for people."""
    return number(header, read, tera, f"{_without('TFLOP', header)} (FLOP)")


def _without(unit: str, header: str) -> str:
    return " ".join(word for word in header.split() if word != unit)


def quotient(header: str, read: Callable[[R], float | None]) -> Column[R]:
    """Return a column of ratios."""
    return number(header, read, ratio, f"{header} (ratio)")
