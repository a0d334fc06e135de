"""What methods say of their own runs, for the foot of every table that shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.record import Record

NAMED = 3  # runs that a sentence names


def method_notes(records: Iterable[Record]) -> list[str]:
    """Return what runs fell short of, then what options mean, each sentence once for its runs."""
    short: dict[tuple[str, str], list[Record]] = {}
    meant: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        for groups, sentences in ((short, record.shortfalls), (meant, record.remarks)):
            for sentence in sentences:
                groups.setdefault((record.method, sentence), []).append(record)
    return [
        *(f"Short of what it is for: {_runs(rs)}: {text}." for (_, text), rs in short.items()),
        *(f"{method}: {text}." for method, text in meant),
    ]


def _runs(records: Sequence[Record]) -> str:
    """Name the runs of one method: `safe (rte s0, rte s1 and 4 more)`."""
    names = [f"{record.task} s{record.seed}" for record in records]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{records[0].method} ({', '.join(names[:NAMED])}{more})"
