"""`published:` of a suite: the tables that it reproduces, and which methods their rows are."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from harness.published import published
from methods.wording import nearest


def _unfold(said: Any) -> Any:
    """Return `NAME`, or a list of names, as a mapping of names to rows."""
    names = [said] if isinstance(said, str) else said
    if not isinstance(names, (list, tuple)):
        return said
    return {name if isinstance(name, str) else str(name): {} for name in names}


def _with_rows(rows: Any) -> Any:
    return {} if rows is None else rows


def _known(name: str) -> str:
    allowed = published.reproducible()
    if name not in allowed:
        why = published.table(name).no_suite if name in published.names() else None
        raise ValueError(
            f"{name} is {why}" if why else f"unknown table {name!r}; {nearest(name, allowed)}"
        )
    return name


Rows = Annotated[dict[str, str], BeforeValidator(_with_rows)]
Reproduces = Annotated[dict[Annotated[str, AfterValidator(_known)], Rows], BeforeValidator(_unfold)]


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the key, with the short spellings."""
    named = {"enum": published.reproducible()}
    rows = {"type": ["object", "null"], "additionalProperties": {"type": "string"}}
    mapping = {"type": "object", "propertyNames": named, "additionalProperties": rows}
    return {"anyOf": [named, {"type": "array", "items": named}, mapping]}
