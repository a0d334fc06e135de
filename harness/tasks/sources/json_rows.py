"""JSON: a list of objects, or such a list under `data`; JSONL: an object on each line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NoReturn

from harness.errors import UserError
from harness.tasks.sources.table import Table
from harness.untrusted import said

DATA = "data"  # the key of a list of rows


def json_table(text: str, source: str) -> Table:
    """Read one JSON value.

    Raises:
        UserError: it is no JSON, or no list of objects.
    """
    value = _value(text, source)
    rows = value.get(DATA) if isinstance(value, dict) else value
    if not isinstance(rows, list):
        raise UserError(f"{source}: neither a list of objects nor an object with one as {DATA!r}")
    return _table(source, enumerate(rows, start=1), "row")


def jsonl_table(text: str, source: str) -> Table:
    """Read one JSON object from each line that is not blank.

    Raises:
        UserError: naming the line that holds none.
    """
    lines = enumerate(text.split("\n"), start=1)
    values = (
        (number, _value(line, f"{source}, line {number}")) for number, line in lines if line.strip()
    )
    return _table(source, values, "line")


def _value(text: str, where: str) -> Any:
    def refuse(word: str) -> NoReturn:
        raise UserError(f"{where}: {word} is no JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON: {said(error)}") from None


def _table(source: str, rows: Iterable[tuple[int, Any]], unit: str) -> Table:
    columns: dict[str, None] = {}
    numbers, made = [], []
    for number, row in rows:
        if not isinstance(row, dict):
            raise UserError(f"{source}, {unit} {number}: no object, but {type(row).__name__}")
        columns |= dict.fromkeys(row)
        numbers.append(number)
        made.append(row)
    if not made:
        raise UserError(f"{source}: empty file")
    return Table(source, tuple(columns), made, numbers, unit)
