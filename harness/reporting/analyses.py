"""What analyses found, as tables: their headline figures, beside those of the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import mean, stdev
from typing import Any

from harness.record import Record
from harness.reporting.columns import Column, Table, number, words
from harness.reporting.comparison import Comparison
from harness.reporting.phases import Group, tables_by_model
from harness.units import mib


def analysis_tables(comparison: Comparison) -> list[Table[Group]]:
    """Return per analysis a table per model, a row per task and method; none if none was done."""
    tables: list[Table[Group]] = []
    for name in _names(comparison.records):
        done = [record for record in comparison.records if _headline(record, name)]
        figures = dict.fromkeys(key for record in done for key in _headline(record, name))
        columns = [column for figure in figures for column in _columns(comparison, name, figure)]
        seconds = number("seconds", partial(_seconds, name), _number, "analysis (s)")
        if done:
            tables += tables_by_model(done, f"analysis: {name}", [*columns, seconds])
    return tables


def analysis_notes(records: Sequence[Record]) -> list[str]:
    """Say what was asked, and what speaks against single figures."""
    said = []
    for name in _names(records):
        asked = [r.analyses[name] for r in records if name in r.analyses]
        options = dict.fromkeys(_options(each.options) for each in asked)
        said.append(
            f"Analysis {name}: {' or '.join(options)}. Beside training: in none of its times and "
            f"peaks.{_peak(max((a.peak_allocated or 0 for a in asked), default=0))}"
        )
        notes: dict[str, list[str]] = {}
        for record in records:
            for note in record.analyses[name].notes if name in record.analyses else ():
                notes.setdefault(note, []).append(record.path)
        said += [
            f"{name}, {paths[0]}{f' and {len(paths) - 1} more' if paths[1:] else ''}: {note}."
            for note, paths in notes.items()
        ]
    return said


def _peak(size: int) -> str:
    return f" Its own peak allocated: {mib(size)} MiB." if size else ""


def _options(options: dict[str, Any]) -> str:
    return ", ".join(
        f"{key} {'+'.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in options.items()
        if value is not None
    )


def _names(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record.analyses))


def _headline(record: Record, name: str) -> dict[str, float]:
    return record.analyses[name].headline if name in record.analyses else {}


def _columns(comparison: Comparison, name: str, figure: str) -> list[Column[Group]]:
    """Return the column of a figure, and of how it compares with the baseline's, seed by seed."""
    base = comparison.baseline

    def values(group: Group) -> list[float]:
        return [h[figure] for r in group.records if figure in (h := _headline(r, name))]

    def against(group: Group) -> str | None:
        pairs = [pair for record in group.records for pair in _pairs(record)]
        if not pairs or group.records[0].method == base:
            return None
        return f"{sum(ours < theirs for ours, theirs in pairs)} of {len(pairs)}"

    def _pairs(record: Record) -> list[tuple[float, float]]:
        ours = _headline(record, name).get(figure)
        same = (
            _headline(other, name).get(figure) for other in comparison.records
            if (other.method, other.task, other.model, other.seed)
            == (base, record.task, record.model, record.seed)
        )  # fmt: skip
        return [(ours, theirs) for theirs in same if ours is not None and theirs is not None]

    read = Column[Group](
        figure, values, _spread, {f"{name}: {figure}": lambda v: mean(v) if v else None}
    )
    if base is None or {record.method for record in comparison.records} == {base}:
        return [read]
    return [read, words(f"below {base}'s", against)]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    around = f" ± {_number(stdev(values))}" if len(values) > 1 else ""
    return _number(mean(values)) + around


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _seconds(name: str, group: Group) -> float | None:
    known = [r.analyses[name].seconds for r in group.records if name in r.analyses]
    return mean(known) if known else None
