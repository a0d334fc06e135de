"""What methods say of their own runs: what these fell short of, and what options meant in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.record import Record

NAMED = 3  # runs that a sentence names


def short_of(records: Iterable[Record]) -> list[str]:
    """Return what runs fell short of, for the foot of every table that shows them."""
    short = _grouped((record, record.shortfalls) for record in records)
    return [f"Short of what it is for: {_runs(runs)}: {text}." for (_, text), runs in short.items()]


def meanings(records: Iterable[Record]) -> list[str]:
    """Return what options mean in these runs beyond their names, a line per method."""
    meant: dict[str, list[str]] = {}
    for method, text in _grouped((record, record.remarks) for record in records):
        meant.setdefault(method, []).append(text)
    return [f"{method}: {'; '.join(texts)}." for method, texts in meant.items()]


def _grouped(
    said: Iterable[tuple[Record, Sequence[str]]],
) -> dict[tuple[str, str], list[Record]]:
    """Return each sentence once for the runs of a method that say it."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record, sentences in said:
        for sentence in sentences:
            groups.setdefault((record.method, sentence), []).append(record)
    return groups


def _runs(records: Sequence[Record]) -> str:
    """Name the runs of one method: `safe (rte s0, rte s1 and 4 more)`."""
    names = [f"{record.task} s{record.seed}" for record in records]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{records[0].method} ({', '.join(names[:NAMED])}{more})"
