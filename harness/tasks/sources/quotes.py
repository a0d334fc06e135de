"""Whether a tab-separated file is quoted as CSV is, and its fields without the quotes.

Most files of GLUE are not: a quotation mark is a part of the text, and many a text begins with one.
What a CSV writer makes differs in every field: one that holds a quotation mark is in quotes as a
whole, with the marks inside of it doubled.
"""

from __future__ import annotations

from collections.abc import Sequence

from methods.numbers import spells_a_number

MARK = '"'
Row = tuple[int, list[str]]


def is_quoted(rows: Sequence[Row]) -> bool:
    """Tell whether a CSV writer made the file; rows are (line, fields), the header among them.

    All fields with a mark must be as it writes them, and one at least as nobody else does: with a
    doubled mark inside; or all fields that are no numbers are in quotes, the header's, too.
    """
    fields = [field for _, row in rows for field in row]
    marked = [field for field in fields if MARK in field]
    if not marked or not all(map(is_whole, marked)):
        return False
    doubled = any(2 * MARK in field[1:-1] for field in marked)
    return doubled or all(MARK in field for field in fields if field and not spells_a_number(field))


def unquoted(rows: Sequence[Row]) -> tuple[list[Row], int]:
    """Return the rows of a quoted file as they were before, and how many fields were in quotes.

    A field that is not in quotes as a whole stays as it is.
    """
    count = sum(is_whole(field) for _, row in rows for field in row)
    return [(line, [_inside(field) for field in row]) for line, row in rows], count


def is_whole(field: str) -> bool:
    """Tell whether the field is in quotes from end to end, as a CSV writer puts it."""
    ends = len(field) >= 2 and field[0] == field[-1] == MARK
    return ends and MARK not in field[1:-1].replace(2 * MARK, "")


def _inside(field: str) -> str:
    return field[1:-1].replace(2 * MARK, MARK) if is_whole(field) else field
