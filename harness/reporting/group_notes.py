"""What a reader has to know of a group: what is missing from it, and what replaced it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.record import Record

NAMED = 5  # cells that a note names


def replaced(records: Sequence[Record], later: Sequence[Record]) -> list[str]:
    """Say of earlier records which settings are others in the later ones of the same cells."""
    now = {record.path: record for record in later}
    moved: dict[str, None] = {}
    for record in records:
        if record.path in now:
            moved |= dict.fromkeys(_moved(record.cell, now[record.path].cell))
    what = "; ".join(moved) or "nothing in their settings: the same cells, run again"
    return [f"Later records of the same cells exist. What is another one there: {what}."]


def _moved(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Yield each setting that differs, as `train.lr: 0.001, later 0.002`."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            below = f"{place}.{key}" if place else str(key)
            yield from _moved(before.get(key), after.get(key), below)
    elif before != after:
        yield f"{place}: {before}, later {after}"


def not_run(missing: Sequence[str]) -> list[str]:
    """Name the cells that have no record, by their paths."""
    if not missing:
        return []
    more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
    return [f"Without a record: {', '.join(missing[:NAMED])}{more}."]
