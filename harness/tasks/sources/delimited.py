"""Separated fields: CSV, and TSV with and without quotes. Every field is the text it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from harness.errors import UserError
from harness.tasks.sources.quotes import MARK, Row, is_quoted, is_whole, unquoted
from harness.tasks.sources.table import Table

ENDS = re.compile(r"\r?\n")


def csv_table(text: str, source: str) -> Table:
    """Read a CSV as RFC 4180 has it: marks around a field are taken off, doubled ones are one.

    A mark inside of a field that does not begin with one is text. Blank lines are left out.

    Raises:
        UserError: naming the line.
    """
    return _table(*unquoted(fields(text, ",", source)), source)


def tsv_table(text: str, source: str) -> Table:
    """Read a TSV: quotation marks are text, but for a file that a CSV writer made.

    That it did is seen from every field with a mark (`is_quoted`), or from marks around line
    breaks and tabs, without which the rows have no common width.

    Raises:
        UserError: naming the line.
    """
    rows = tab_rows(text)
    if is_quoted(rows):
        return _table(*unquoted(rows), source)
    if not _is_rectangular(rows) and MARK in text:
        try:
            whole = fields(text, "\t", source)
        except UserError:
            return _table(rows, 0, source)
        marked = (field for _, row in whole for field in row if MARK in field)
        if _is_rectangular(whole) and all(map(is_whole, marked)):
            return _table(*unquoted(whole), source)
    return _table(rows, 0, source)


def lines_table(text: str, source: str) -> Table:
    """Read a plain text: each line that is not blank is a row of the one column `text`.

    Raises:
        UserError: there is none.
    """
    lines = ((number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), start=1))
    kept = [(number, line) for number, line in lines if line.strip()]
    if not kept:
        raise UserError(f"{source}: empty file")
    rows = [{"text": line} for _, line in kept]
    return Table(source, ("text",), rows, [number for number, _ in kept])


def tab_rows(text: str) -> list[Row]:
    """Return the fields of each line that is not blank, marks included, with its number.

    No line break but a newline, as csv.QUOTE_NONE would have it: a lone carriage return is text.
    """
    lines = ((number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), start=1))
    return [(number, line.split("\t")) for number, line in lines if line]


def fields(text: str, separator: str, source: str) -> list[Row]:
    """Return the fields of each record, marks included, with the number of its first line.

    Raises:
        UserError: a mark that opens a field is not closed, or text follows one that closes.
    """
    field = re.compile(rf'"[^"]*(?:""[^"]*)*"|(?!")[^{separator}\n]*')
    rows: list[Row] = []
    row: list[str] = []
    place, line, first = 0, 1, 1
    while place < len(text):
        found = field.match(text, place)
        if found is None:
            raise UserError(
                f"{source}, line {line}: a quotation mark opens a field and none ends it"
            )
        value, place = found[0], found.end()
        line += value.count("\n")
        end = ENDS.match(text, place)
        if value.endswith("\r") and end is not None:  # it belongs to the line's end
            value = value[:-1]
        row.append(value)
        if end is not None or place == len(text):
            rows.append((first, row))
            row, place, line = [], place + 1 if end is None else end.end(), line + 1
            first = line
        elif text[place] == separator:
            place += 1
            if place == len(text):  # the last field of the last record is empty
                rows.append((first, [*row, ""]))
        else:
            raise UserError(
                f"{source}, line {line}: {text[place : place + 20]!r} after the quotation mark "
                "that ends a field; a mark inside of a field is written twice"
            )
    return [(number, row) for number, row in rows if row != [""]]


def _is_rectangular(rows: Sequence[Row]) -> bool:
    return len({len(row) for _, row in rows}) <= 1


def _table(rows: Sequence[Row], quoted: int, source: str) -> Table:
    """Make a table of the header and the rows below it, all of one width."""
    if not rows:
        raise UserError(f"{source}: empty file")
    (number, header), *rest = rows
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise UserError(f"{source}, line {number}: two columns are called {twice[0]!r}")
    for number, row in rest:
        if len(row) != len(header):
            raise UserError(
                f"{source}, line {number}: {len(row)} fields where the header has {len(header)}"
            )
    notes = (f"{source}: {quoted} fields in quotes, which are taken off",) if quoted else ()
    made = [dict(zip(header, row, strict=True)) for _, row in rest]
    return Table(source, tuple(header), made, [number for number, _ in rest], notes=notes)
