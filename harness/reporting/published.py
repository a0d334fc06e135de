"""Tables of what a paper prints beside what was measured and what was forecast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.published.published import Reproduced, find, unknown
from harness.reporting.beside import Beside, beside, off
from harness.reporting.columns import Column, Table, words
from harness.reporting.groups import Group
from harness.reporting.ours import Ours, Value, of_records
from harness.reporting.published_notes import (
    FIRST,
    NAMES,
    OTHER,
    Marks,
    apart,
    by_task,
    legend,
    model_of,
    unmatched,
)
from harness.reporting.published_scores import score_columns, score_lines
from harness.reporting.ran import overridden

OPEN = 12  # rows; longer tables are folded
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def published_tables(group: Group) -> list[Table[Any]]:
    """Return the published tables that the group's suite names, beside what its records have."""
    changed = bool(overridden(group.records))
    return tables_beside(group.suite, of_records(group.records), another=changed)


def tables_beside(
    suite: Mapping[str, Any], ours: Sequence[Ours], *, another: bool = False
) -> list[Table[Any]]:
    """Return, for each published table that the suite names, its costs and its scores.

    Args:
        suite: as a manifest has it.
        ours: of records or of forecasts.
        another: overrides made another experiment of it.
    """
    tables = [table for one in find(suite) for table in _tables(suite, one, ours, another)]
    if missing := unknown(suite):
        said = ["The suite names them, and this version does not have them."]
        tables.append(Table("Published tables", [words("table", str)], missing, said))
    return tables


def _tables(
    suite: Mapping[str, Any], reproduced: Reproduced, ours: Sequence[Ours], another: bool
) -> list[Table[Any]]:
    """Return a table for each of the first costs, one of other costs and one of scores."""
    table, rows = reproduced.table, beside(reproduced, ours)
    here, elsewhere = by_task(suite, rows)
    flags = dict.fromkeys(row.printed.flag for row in here if row.printed.flag)
    marks = dict(zip(flags, LETTERS, strict=False))
    parts: list[tuple[str, list[Beside]]] = [
        *((said, [row for row in here if row.printed.metric == metric])
          for metric, said in FIRST.items()),
        ("other costs", [row for row in here if row.printed.metric in OTHER]),
        ("scores", [row for row in here if row.printed.metric not in {*FIRST, *OTHER}]),
    ]  # fmt: skip
    said = [*table.notes, *unmatched(reproduced, here, ours), *elsewhere]
    said += ["Overrides changed the suite: ours is another experiment."] if another else []
    made: list[Table[Any]] = []
    for name, chosen in parts:
        if not chosen:
            continue
        lines: Sequence[Any] = score_lines(chosen, marks) if name == "scores" else chosen
        columns = score_columns(lines) if name == "scores" else _cost_columns(chosen, marks)
        below = [
            *legend(chosen, marks, reproduced),
            *([] if another else apart(chosen, reproduced)),
        ]
        metrics = {row.printed.metric for row in chosen}
        what = NAMES.get(metrics.pop(), name) if len(metrics) == 1 else name
        title = f"{table.title}, {table.shows}: {what}"
        made.append(
            Table(
                title, columns, lines, below if made else [*said, *below],
                folded=len(chosen) > OPEN or (bool(made) and name not in FIRST.values()),
            )
        )  # fmt: skip
    return made


def _cost_columns(rows: Sequence[Beside], marks: Marks) -> list[Column[Beside]]:
    """Return the columns: whose figure it is, the paper's, and what there is of ours."""
    models = len({row.printed.model for row in rows}) > 1
    metrics = len({row.printed.metric for row in rows}) > 1
    tasks = len({row.printed.task for row in rows}) > 1

    def name(row: Beside) -> str:
        parts = [model_of(row)] * models + [row.label, row.variant] + [row.printed.task] * tasks
        text = " ".join(filter(None, parts))
        return f"{text}: {NAMES[row.printed.metric]}" if metrics else text

    columns: list[Column[Beside]] = [
        words("model and method" if models else "method", name),
        Column(
            "paper",
            lambda row: row.printed,
            lambda printed: marked(printed.text, printed.flag, marks),
            {"paper": lambda printed: printed.value, "flag": lambda printed: printed.flag or None},
        ),
    ]
    if any(row.measured for row in rows):
        columns += _ours_columns("measured", lambda row: row.measured)
    if any(row.forecast for row in rows):
        columns += _ours_columns("forecast", lambda row: row.forecast)
    return columns


def _ours_columns(name: str, read: Callable[[Beside], Value | None]) -> list[Column[Beside]]:
    return [
        Column(
            name,
            lambda row: (read(row), row.printed.unit),
            lambda pair: "-" if pair[0] is None else value_text(*pair),
            {f"{name}, first stage": lambda pair: pair[0] and pair[0].first,
             f"{name}, last stage": lambda pair: pair[0] and pair[0].last,
             f"{name}, mean over steps": lambda pair: pair[0] and pair[0].mean},
        ),
        Column(
            f"{name} vs paper",
            lambda row: (off(read(row), row.printed), read(row)),
            lambda pair: _off_text(*pair),
            {f"{name} / paper - 1 (fraction)": lambda pair: pair[0]},
        ),
    ]  # fmt: skip


def _off_text(share: float | None, value: Value | None) -> str:
    if share is None or value is None:
        return "-"
    if value.changes and value.mean is None and not share:
        return "in between"
    return f"{100 * share:+.1f} %"


def marked(text: str, flag: str, marks: Marks) -> str:
    """Return a paper's figure with the letter of what is to be known of it."""
    return f"{text or '-'} ({marks[flag]})" if flag in marks else text or "-"


def value_text(value: Value, unit: str) -> str:
    """Return ours as people read it: the first stage's, to the last one's, their mean."""

    def one(number: float) -> str:
        if unit == "M":
            return f"{number:.3f}" if number < 10 else f"{number:.1f}"
        return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.2f}"

    text = one(value.first)
    if value.changes:
        text += f" to {one(value.last)}"
        text += "" if value.mean is None else f", mean {one(value.mean)}"
    return text
