"""The files of a run folder, as they are written and as they are believed: records, the manifest.

A record carries the SHA-256 of its content, so that one that was changed since is none; older ones
have none and are taken as they are. Both files say whose they are.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, Field, field_validator

from harness import durable
from harness.record import SCHEMA_VERSION, Record
from harness.untrusted import bytes_of, reading

CHECKSUM = "checksum"
PATH = re.compile(r"[^/]+(?:/[^/]+){2,}/s-?\d{1,20}")
# Where a cell's files lie below a part of the folder: its path and key.
CELL = re.compile(rf"(?P<path>{PATH.pattern})-(?P<key>\w+)")
RECORDS = "records"

Place = tuple[str, str]  # a cell's path and key


class ListedCell(BaseModel):
    """A cell of the manifest: where its record lies."""

    path: str
    key: str = Field(pattern=r"^\w+$")

    @field_validator("path")
    @classmethod
    def _of_a_cell(cls, path: str) -> str:
        if not PATH.fullmatch(path) or {".", ".."} & set(path.split("/")) or "\0" in path:
            raise ValueError("not a cell's path (task/model/method/seed)")
        return path


class SuiteFacts(BaseModel):
    """What a report reads of the suite."""

    name: str
    description: str | None = None
    baseline: str | None = None


class Manifest(BaseModel):
    """Which suite a folder is about, and its cells in their order."""

    suite: SuiteFacts
    cells: list[ListedCell]

    @field_validator("cells")
    @classmethod
    def _each_once(cls, cells: list[ListedCell]) -> list[ListedCell]:
        seen: set[str] = set()
        for cell in cells:
            if cell.path in seen:
                raise ValueError(f"{cell.path} stands there twice")
            seen.add(cell.path)
        return cells


@dataclass(frozen=True)
class LeftOut:
    """A record that is there and not believed: whose it should be, which file, what is wrong."""

    path: str
    reason: str
    key: str = ""


@dataclass(frozen=True)
class Held:
    """All that a run folder holds for a report.

    Attributes:
        manifest: of the last run there; None where there is none.
        records: those that can be read; the manifest's first, in its order.
    """

    manifest: dict[str, Any] | None
    records: list[Record]
    left_out: list[LeftOut] = field(default_factory=list)


def read_manifest(file: Path) -> dict[str, Any]:
    """Return the manifest's content.

    Raises:
        Unreadable: it is missing, or is anything else than a manifest.
    """
    with reading(file, "a run's list of cells", Manifest):
        text = bytes_of(file)
        content = _parsed(text)
        Manifest.model_validate_json(text)
        return content


def places(folder: Path) -> Iterator[Place]:
    """Yield the cells whose records lie in a run folder, by the names of the files, sorted."""
    top = folder / RECORDS
    for parent, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(names):
            file = os.path.relpath(os.path.join(parent, name), top)
            match = CELL.fullmatch(file.removesuffix(".json")) if name.endswith(".json") else None
            if match is not None:
                yield match["path"], match["key"]


def read_record(file: Path, path: str, key: str) -> Record | None:
    """Return the record of the cell with this path and key; None where there is no such file.

    Raises:
        Unreadable: it cannot be read, has another schema, was changed, or is another cell's.
    """
    with reading(file, "a record", Record):
        if not file.exists():
            return None
        content = _parsed(bytes_of(file))
        checksum = content.pop(CHECKSUM, None)
        schema = content.get("schema_version")
        if schema != SCHEMA_VERSION:
            raise ValueError(
                f"its schema_version is {schema!r}, this version reads {SCHEMA_VERSION}"
            )
        if checksum is not None and checksum != _checksum(content):
            raise ValueError("it was changed after it was written (its checksum differs)")
        record = Record.model_validate_json(json.dumps(content))
        if (record.path, record.key) != (path, key):
            raise ValueError(f"it is the record of {record.path} ({record.key})")
        return record


def write_record(file: Path, record: Record) -> None:
    """Write the record and its checksum so that a reader sees all of it or nothing.

    What methods put into it beside its types does not cost a finished run: it is written as text.
    """
    content = _plain(record.model_dump(mode="json", fallback=repr, warnings=False))
    content[CHECKSUM] = _checksum(content)
    durable.write_text(file, json.dumps(content, indent=1, ensure_ascii=False))


def _parsed(text: bytes) -> dict[str, Any]:
    """Return a JSON object whose keys stand once and whose numbers are finite."""
    content = json.loads(
        text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite
    )
    if not isinstance(content, dict):
        raise TypeError("no mapping of keys to values")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} stands there twice")
    return content


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


def _plain(value: Any) -> Any:
    """Return what JSON holds: numbers that are finite or null, text that is UTF-8."""
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
