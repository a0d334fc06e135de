"""A group of records as the page needs it: its methods compared, over all tasks and on each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from harness.record import Record
from harness.reporting.comparison import Row, Score, compare_methods, lowest
from harness.reporting.groups import Group
from harness.reporting.page.memory import split_of
from harness.reporting.page.pool import Pool, known
from harness.reporting.page.runs import FULL, Detail, need, run_data
from harness.units import is_fraction

# A page with more is one that nobody reads the single tasks of.
MOST_VIEWS = 40


def group_data(
    group: Group, pool: Pool, detail: Detail = FULL, baseline: str | None = None
) -> dict[str, Any]:
    """Return a group as plain data: a view of all tasks and one of each, and all runs."""
    records = [*group.records]
    whole = compare_methods(records, baseline or group.suite.get("baseline"))
    views = [_view("all tasks", records, whole.baseline)]
    if len(whole.tasks) > 1:
        views += [
            _view(task, [r for r in records if r.task == task], whole.baseline)
            for task in whole.tasks[:MOST_VIEWS]
        ]
    return known(
        kind="records",
        baseline=whole.baseline,
        tasks=[_task(task, records) for task in whole.tasks],
        models=whole.models,
        methods=sorted({row.method for row in whole.rows}),
        expected=group.expected,
        meters=sorted({r.memory.meter for r in records if r.memory}),
        views=views,
        runs=[run_data(record, pool, detail) for record in records],
    )


def _task(task: str, records: Sequence[Record]) -> dict[str, Any]:
    own = [record for record in records if record.task == task]
    metric = next((record.main_metric for record in own if record.main_metric), None)
    return {
        "name": task, "metric": metric, "fraction": is_fraction(metric),
        "lower": any(map(lowest, own)),
    }  # fmt: skip


def _view(name: str, records: Sequence[Record], baseline: str | None) -> dict[str, Any]:
    comparison = compare_methods(records, baseline)
    runs: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        runs.setdefault((record.model, record.method), []).append(record)
    rows = [_row(row, runs[row.model, row.method], comparison.tasks) for row in comparison.rows]
    return {"name": name, "rows": rows}


def _row(row: Row, records: Sequence[Record], tasks: Sequence[str]) -> dict[str, Any]:
    one = row.scores[tasks[0]] if len(tasks) == 1 else None
    good = [record for record in records if record.outcome == "ok"]
    failed = Counter(record.outcome for record in records if record.outcome != "ok")
    return known(
        model=row.model,
        method=row.method,
        score=one.mean if one else row.average,
        spread=one.spread if one else None,
        others=one.others if one else None,
        tasks=None if one else [_score(row.scores[task]) for task in tasks],
        runs=len(records),
        failed=dict(failed),
        peak=row.peak,
        last=row.last if row.last != row.peak else None,
        shared=row.shared or None,
        need=max((need(record) or 0 for record in good), default=0) or None,
        split=split_of(_fine(good), row.peak) if row.peak else None,
        forecast=row.forecast,
        time_forecast=row.time_forecast,
        adapter=row.adapter,
        stored=row.stored,
        flops=row.training_flops,
        seconds=row.step_seconds,
        time=row.relative_time,
    )


def _fine(records: Sequence[Record]) -> dict[str, int]:
    """Return the ledger's split at the largest peak."""
    memories = [record.memory for record in records if record.memory and record.memory.phases]
    highest = max(memories, key=lambda memory: memory.peak_training, default=None)
    if highest is None:
        return {}
    return max(highest.phases, key=lambda phase: phase.peak_allocated).split


def _score(score: Score) -> dict[str, Any]:
    return known(
        mean=score.mean, spread=score.spread, seeds=score.seeds or None, failed=score.outcomes
    )
