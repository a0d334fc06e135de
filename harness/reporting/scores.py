"""Scores as people and machines read them: a column per task, and all metrics in a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from harness.record import MARKS
from harness.reporting.columns import Better, Column, percent
from harness.reporting.comparison import Comparison, Row, Score
from harness.units import is_fraction, less_is_better, score


class _Shown(NamedTuple):
    """One metric of a task's scores, as the column of that metric shows it."""

    of: Score
    mean: float | None
    spread: float | None
    metric: str | None
    most_seeds: int


def score_columns(comparison: Comparison, *, all_metrics: bool = False) -> list[Column[Row]]:
    """Return a column for each task's main metric, or for every metric; then the average."""
    columns = []
    for task in comparison.tasks:
        others = _others(comparison, task) if all_metrics else []
        columns += [_column(comparison, task, name, all_metrics) for name in (None, *others)]
    return columns + ([average_column()] if len(comparison.tasks) > 1 else [])


def average_column(*, alone: bool = False) -> Column[Row]:
    """Return the mean over tasks, by the protocol; alone, it also says what did not end well."""
    column: Column[Row] = percent("average", lambda row: row.average)
    if not alone:
        return column.which_is("more")

    def show(row: Row) -> str:
        told = _told(sum((Counter(each.outcomes) for each in row.scores.values()), Counter()))
        return f"{score(row.average)} ({', '.join(told)})" if told else score(row.average)

    return Column(
        "average", lambda row: row, show,
        {header: lambda row, plain=plain: plain(row.average)  # type: ignore[misc]
         for header, plain in column.figures.items()},
        better="more", rank=lambda row: row.average,
    )  # fmt: skip


def figure_column(comparison: Comparison, task: str) -> Column[Row]:
    """Return all that there is to say of a task's scores in numbers, in one column."""
    scores = [row.scores[task] for row in comparison.rows]
    main = _main(comparison, task) or "score"
    others = _others(comparison, task)
    return Column(
        task,
        lambda row: row.scores[task],
        lambda value: score_text(value),
        {
            f"{task} {main}{_unit(main)}": lambda value: value.mean,
            f"{task} {main} standard deviation{_unit(main)}": lambda value: value.spread,
            **{f"{task} {name}{_unit(name)}": _other(name) for name in others},
            f"{task} seeds": lambda value: value.seeds,
            f"{task} without a score (seeds)": lambda value: sum(value.outcomes.values()),
            f"{task} outcome": _outcome,
        },
        better=_direction(any(each.lowest for each in scores)),
        rank=lambda value: value.mean,
    )


def score_text(value: Score, most_seeds: int = 0) -> str:
    """Format `mean ± standard deviation` in the metric's unit, and what went wrong."""
    return _text(_Shown(value, value.mean, value.spread, value.metric, most_seeds))


def _column(comparison: Comparison, task: str, other: str | None, all_metrics: bool) -> Column[Row]:
    """Return a task's main metric, or another one of its metrics; named where it is not alone."""
    scores = [row.scores[task] for row in comparison.rows]
    most = max((each.seeds + sum(each.outcomes.values()) for each in scores), default=0)

    def shown(row: Row) -> _Shown:
        value = row.scores[task]
        if other is None:
            return _Shown(value, value.mean, value.spread, value.metric, most)
        spread = value.other_spreads.get(other)
        return _Shown(value, value.others.get(other), spread, other, most)

    lowest = less_is_better(other) if other else any(each.lowest for each in scores)
    name = other or _main(comparison, task) or "score"
    alone = len(comparison.tasks) == 1
    return Column(
        name if alone else f"{task} {name}" if all_metrics else task,
        shown,
        _text,
        {
            f"{task} {name}{_unit(name)}": lambda value: value.mean,
            f"{task} {name} standard deviation{_unit(name)}": lambda value: value.spread,
            f"{task} {name} seeds": lambda value: value.of.seeds,
        },
        better=_direction(lowest),
        rank=lambda value: value.mean,
    )


def _text(shown: _Shown) -> str:
    value = shown.of
    told = _told(value.outcomes)
    if shown.mean is None:
        return ", ".join(told) or "-"
    if value.seeds + sum(value.outcomes.values()) < shown.most_seeds:
        told.insert(0, f"n={value.seeds}")
    spread = "" if shown.spread is None else f" ± {score(shown.spread, shown.metric)}"
    return score(shown.mean, shown.metric) + spread + (f" ({', '.join(told)})" if told else "")


def _told(outcomes: Mapping[str, int]) -> list[str]:
    """Say how the cells without a score ended, with their number where there are several."""
    return [
        f"{count} {MARKS[outcome]}" if count > 1 else MARKS[outcome]
        for outcome, count in outcomes.items()
    ]


def _direction(lowest: bool) -> Better:
    return "less" if lowest else "more"


def _main(comparison: Comparison, task: str) -> str | None:
    return next((m for row in comparison.rows if (m := row.scores[task].metric)), None)


def _others(comparison: Comparison, task: str) -> list[str]:
    return list(dict.fromkeys(name for row in comparison.rows for name in row.scores[task].others))


def _unit(metric: str) -> str:
    return " (fraction)" if is_fraction(metric) else ""


def _outcome(value: Score) -> str | None:
    return " and ".join([*(["ok"] if value.seeds else []), *value.outcomes]) or None


def _other(name: str) -> Callable[[Score], float | None]:
    return lambda value: value.others.get(name)
