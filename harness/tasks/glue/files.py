"""GLUE from local files in the original layout: tab-separated, plain or gzip."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import UserError
from harness.tasks.base import DataRequest, Example
from harness.tasks.glue.rows import Rows, find_columns, label_of
from harness.tasks.glue.splits import Parts
from harness.tasks.glue.table import GlueSpec
from harness.tasks.sources import folders
from harness.tasks.sources.delimited import tab_rows
from harness.tasks.sources.files import text_of
from harness.tasks.sources.quotes import Row, is_quoted, unquoted

# The original CoLA files have no header.
COLA_COLUMNS = ["source", "label", "author_mark", "sentence"]
# The original QQP is quoted as CSV is, with line breaks in some fields, which cut rows short. For
# nyu-mll/glue it was read without quoting: such rows are dropped and quotes stay. So do all who
# count with its rows.
READ_AS_THE_HUB = {"qqp"}


class Table(NamedTuple):
    """A file's header and its rows, each with its line number (from 1).

    Attributes:
        quoted: fields that were in quotes as in CSV, which are taken off.
    """

    header: list[str]
    rows: list[Row]
    quoted: int = 0


def read(spec: GlueSpec, request: DataRequest) -> Rows:
    """All rows of one task.

    Raises:
        UserError: if the folder, a file, a column or a label is not what it should be.
    """
    folder = find_folder(spec, request)
    stems = {"train": "train", "dev": "dev"}
    if spec.rule == "mismatched":
        stems = {"train": "train", "dev": "dev_matched", "mismatched": "dev_mismatched"}
    paths = {part: find_file(folder, stem) for part, stem in stems.items()}
    parts: dict[str, list[Example]] = {}
    notes: list[str] = []
    for part, path in paths.items():
        table = _table(spec, path)
        parts[part] = _examples(spec, request, path, table)
        dropped = len(table.rows) - len(parts[part])
        if dropped:
            notes.append(f"{path.name}: {dropped} incomplete rows dropped")
        if table.quoted:
            notes.append(f"{path.name}: {table.quoted} fields in quotes, read as CSV")
    names = ", ".join(path.name for path in paths.values())
    return Rows(Parts(**parts), f"local {folder}", (f"files {names}", *notes))


def find_folder(spec: GlueSpec, request: DataRequest) -> Path:
    """The task's own folder, or the one in `data_root` that bears one of its usual names."""
    usual = {f"glue-{spec.name}", f"glue_{spec.name}", spec.name, f"{spec.name}-sample"}
    usual |= {spec.folder, f"glue-{spec.folder}"}

    def lacking(there: Sequence[str]) -> str:
        names = ", ".join(sorted(usual))
        return f"folder {names} (there are: {', '.join(there) or 'none'})"

    return folders.find_folder(spec.name, request, usual.__contains__, lacking)


def find_file(folder: Path, stem: str) -> Path:
    """The file `stem.tsv`, else the one file `stem_*.tsv`; either may end in .gz."""
    there = sorted(path for path in folder.iterdir() if path.is_file())
    for pattern in (rf"{stem}\.tsv(\.gz)?", rf"{stem}_.*\.tsv(\.gz)?"):
        matches = [path for path in there if re.fullmatch(pattern, path.name)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise UserError(f"{folder}: which one, {' or '.join(path.name for path in matches)}?")
    raise UserError(
        f"{folder}: no {stem}.tsv, {stem}.tsv.gz or {stem}_*.tsv "
        f"(there are: {', '.join(path.name for path in there) or 'no files'})"
    )


def _examples(spec: GlueSpec, request: DataRequest, path: Path, table: Table) -> list[Example]:
    """The complete rows of one file."""
    columns = find_columns(spec, request, table.header, f"{path}, line 1")
    text, label = table.header.index(columns.text), table.header.index(columns.label)
    pair = text if columns.pair is None else table.header.index(columns.pair)
    examples: list[Example] = []
    for line, row in table.rows:
        if len(row) < len(table.header) and spec.name in READ_AS_THE_HUB:
            continue
        if len(row) != len(table.header):
            why = "a tab in a text, or a column without a name" if len(row) > len(table.header) \
                else "a line break in a text, or a missing tab"  # fmt: skip
            width = f"{len(row)} columns where the header has {len(table.header)}"
            raise UserError(f"{path}, line {line}: {width}: {why}")
        value = label_of(spec, row[label], f"{path}, line {line}, column {columns.label!r}")
        examples.append(Example(row[text], None if pair == text else row[pair], value))
    if not examples:
        raise UserError(f"{path}: no rows")
    return examples


def _table(spec: GlueSpec, path: Path) -> Table:
    rows = tab_rows(text_of(path))
    if not rows:
        raise UserError(f"{path}: empty file")
    quoted = 0
    if spec.name not in READ_AS_THE_HUB and is_quoted(rows):
        rows, quoted = unquoted(rows)
    first = rows[0][1]
    if spec.name == "cola" and len(first) == len(COLA_COLUMNS) and first[1] in ("0", "1"):
        return Table(COLA_COLUMNS, rows, quoted)
    return Table(first, rows[1:], quoted)
