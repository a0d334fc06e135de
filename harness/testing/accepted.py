"""The file of accepted peaks: one table a test and card, so that pull requests merge."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from harness import durable
from harness.errors import UserError
from harness.part import Part
from harness.untrusted import reading

SCHEMA: Literal[1] = 1
LEAST = 0.0005  # of the peak: places that hold less are not listed
Bytes = Annotated[int, Field(ge=0, lt=2**63)]
HEAD = "# Peaks that were accepted, in bytes. pytest --memory-accept writes them.\n"


class Accepted(Part):
    """What one test needed on one card when it was accepted.

    Attributes:
        of: which figure, as the mark has it.
        software: versions that move memory.
        places: at the peak, by `category | module`; the large ones.
    """

    of: Literal["allocated", "reserved", "device"]
    num_bytes: Bytes = Field(alias="bytes")
    software: dict[str, str]
    reason: str = ""
    places: dict[str, Bytes]


class _File(Part):
    schema_version: Literal[1] = Field(alias="schema")
    test: dict[str, Accepted] = Field(default_factory=dict)


def read_accepted(file: Path) -> dict[str, Accepted]:
    """Return what was accepted, by test and card; nothing where there is no file.

    Raises:
        UserError: it is there and is something else.
    """
    if not file.exists():
        return {}
    with reading(file, "a file of accepted peaks", _File):
        try:
            content = tomllib.loads(file.read_bytes().decode("utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise UserError(f"{file}: {error}") from None
        return TypeAdapter(_File).validate_python(content, strict=True).test


def write_accepted(file: Path, accepted: Mapping[str, Accepted]) -> None:
    """Write the file, in the order of the tests' names."""
    parts = [HEAD, f"schema = {SCHEMA}\n"]
    for key, one in sorted(accepted.items()):
        parts.append(f"\n[test.{_text(key)}]\nof = {_text(one.of)}\nbytes = {one.num_bytes}\n")
        if one.reason:
            parts.append(f"reason = {_text(one.reason)}\n")
        for table in ("software", "places"):
            rows: Mapping[str, object] = getattr(one, table)
            parts.append(f"[test.{_text(key)}.{table}]\n")
            parts += [f"{_text(name)} = {_value(value)}\n" for name, value in rows.items()]
    durable.write_text(file, "".join(parts))


def _value(value: object) -> str:
    return str(value) if isinstance(value, int) else _text(str(value))


def _text(text: str) -> str:
    """Return a basic string of TOML, which JSON's are but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
