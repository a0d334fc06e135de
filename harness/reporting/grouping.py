"""A table per model with a row per task and method, for figures of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.record import Record
from harness.reporting.comparison import method_of, model_of, task_of
from harness.reporting.tables import Table


def tables_by_model(
    records: Sequence[Record],
    title: str,
    headers: Sequence[str],
    figures: Callable[[Sequence[Record]], list[str]],
) -> list[Table]:
    """Return the tables, in the order of the records.

    Args:
        records: those that have such figures.
        title: what the table shows, behind the model's name.
        headers: of the figures.
        figures: the texts of a row, of all seeds' records.
    """
    several = len({task_of(record) for record in records}) > 1
    tables = []
    for model in dict.fromkeys(map(model_of, records)):
        groups: dict[str, list[Record]] = {}
        for record in records:
            if model_of(record) == model:
                task = f"{task_of(record)} " if several else ""
                groups.setdefault(task + method_of(record), []).append(record)
        rows = [[name, *figures(found)] for name, found in groups.items()]
        tables.append(Table(f"{model}: {title}", ["method", *headers], rows))
    return tables
