"""Tables as lists of columns: terminal, Markdown and CSV are made from the same list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

from harness.units import Unit, giga, mib, millions, ratio, score, tera

R = TypeVar("R")
Plain = float | int | str | None  # what a machine reads: no text around a number
Better = Literal["more", "less"]
Mark = Literal["best", "second"]
ARROWS: Mapping[Better, str] = {"more": "↑", "less": "↓"}


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column.

    Attributes:
        header: as people read it.
        read: takes the value out of a row.
        show: makes a text of the value.
        figures: for machines: header with its unit -> plain number (or word) of the value.
        better: whether more or less of it is, so that the best rows are marked; None: neither.
        rank: the number to compare rows by, where the value is none.
        bar: drawn as a bar where there is room.
    """

    header: str
    read: Callable[[R], Any]
    show: Callable[[Any], str]
    figures: Mapping[str, Callable[[Any], Plain]]
    better: Better | None = None
    rank: Callable[[Any], float | None] = lambda value: value
    bar: bool = False

    @property
    def title(self) -> str:
        """The header with an arrow to where the better values are."""
        return f"{self.header} {ARROWS[self.better]}" if self.better else self.header

    def which_is(self, better: Better) -> Column[R]:
        """Return the column with a direction."""
        return replace(self, better=better)

    def with_bar(self) -> Column[R]:
        """Return the column with a bar beside its numbers, where there is room."""
        return replace(self, bar=True)


@dataclass(frozen=True)
class Table(Generic[R]):
    """Rows under columns; the first column is a name, the others are figures.

    Attributes:
        notes: sentences about single rows, to stand under the table.
        folded: it says why, and not which: closed in a page until a reader opens it.
        aside: for those who look for it: in files and not in the terminal.
    """

    title: str
    columns: Sequence[Column[R]]
    rows: Sequence[R]
    notes: Sequence[str] = ()
    folded: bool = False
    aside: bool = False

    @property
    def headers(self) -> list[str]:
        """What people read above the columns."""
        return [column.title for column in self.columns]

    @property
    def texts(self) -> list[list[str]]:
        """Return every row as people read it."""
        return [[c.show(c.read(row)) for c in self.columns] for row in self.rows]

    @property
    def marks(self) -> list[list[Mark | None]]:
        """Return for every text whether its row is the best or the second best of its column."""
        columns = [_marks(column, self.rows) for column in self.columns]
        return [list(row) for row in zip(*columns, strict=True)]

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


def _marks(column: Column[R], rows: Sequence[R]) -> list[Mark | None]:
    """Mark the best and the second best; what reads the same shares a place.

    Nothing is best among one, or where all are alike, and nothing second among two.
    """
    ranks = [column.rank(column.read(row)) if column.better else None for row in rows]
    texts = [column.show(column.read(row)) for row in rows]
    known = sorted(
        (number for number, rank in enumerate(ranks) if rank is not None),
        key=lambda number: ranks[number] or 0.0,
        reverse=column.better == "more",
    )
    places: dict[int, int] = {}
    for before, number in zip([None, *known], known, strict=False):
        if before is None:
            places[number] = 0
        else:
            same = ranks[before] == ranks[number] or texts[before] == texts[number]
            places[number] = places[before] + (not same)
    best = sum(place == 0 for place in places.values())
    if best == len(known):
        return [None] * len(rows)
    named: list[Mark] = ["best", "second"] if len(known) - best > 1 else ["best"]
    marks = {number: named[place] for number, place in places.items() if place < len(named)}
    return [marks.get(number) for number in range(len(rows))]


def itself(value: R) -> R:
    """Return what a row, or a value, is."""
    return value


def words(header: str, read: Callable[[R], str | None]) -> Column[R]:
    """Return a column of words."""
    return Column(header, read, lambda text: "-" if text is None else text, {header: itself})


def number(
    header: str,
    read: Callable[[R], float | None],
    show: Callable[[Any], str],
    figure: str,
) -> Column[R]:
    """Return a column of numbers; `figure` is its header for machines."""
    return Column(header, read, show, {figure: itself})


def count(header: str, read: Callable[[R], int | None], figure: str) -> Column[R]:
    """Return a column of whole numbers."""
    return number(header, read, lambda n: "-" if n is None else f"{n:,}", figure)


def mebibytes(header: str, read: Callable[[R], float | None]) -> Column[R]:
    """Return a column of bytes, in MiB for people."""
    return number(header, read, mib, f"{header.removesuffix(' MiB')} (B)")


def memory(header: str, read: Callable[[R], float | None], unit: Unit) -> Column[R]:
    """Return a column of bytes, for people in a unit that the header or the title names."""
    bare = header.removesuffix(f" {unit.name}")
    return number(header, read, unit.show, f"{bare} (B)")


def change(header: str, before: Column[R], after: Column[R]) -> Column[R]:
    """Return two figures of a row in one column, `1.8 → 1.4`; machines read both."""

    def show(pair: tuple[Any, Any]) -> str:
        texts = [before.show(pair[0]), after.show(pair[1])]
        return texts[0] if texts[0] == texts[1] else " → ".join(texts)

    def of(number: int, plain: Callable[[Any], Plain]) -> Callable[[Any], Plain]:
        return lambda pair: plain(pair[number])

    return Column(
        header,
        lambda row: (before.read(row), after.read(row)),
        show,
        {
            h: of(n, f)
            for n, column in enumerate((before, after))
            for h, f in column.figures.items()
        },
    )


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
