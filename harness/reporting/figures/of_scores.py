"""Figures of scores against peak memory, from a comparison."""

from __future__ import annotations

import math
from functools import partial
from statistics import mean, stdev

from harness.reporting.comparison import Row
from harness.reporting.figures.figure import Figure
from harness.reporting.figures.fronts import MOST, NAMED, Panel, Point, one_panel, panels
from harness.reporting.figures.one_model import OneModel, measured
from harness.reporting.figures.words import failures, few, shown
from harness.units import is_fraction

NAME = "score-and-memory"
OTHERS = ", others where there is room"
FRONT = "The dashed line joins the methods that no other one beats in both."


def score_figures(one: OneModel) -> list[Figure]:
    """Return the average (of one task: its score) against memory, and every task's."""
    tasks, baseline = one.comparison.tasks, one.comparison.baseline
    by_task = [panel for task in tasks if (panel := _of_task(one, task)).points]
    main = _average(one) if len(tasks) > 1 else by_task[0] if by_task else None
    found = []
    if main and main.points:
        found.append(one.figure(
            NAME, f"Score and peak memory: {shown(main.title)}",
            f"Mean score over seeds and largest peak of each method. {_errors(main)}{FRONT}"
            f"{_unnamed(NAMED, main, others=OTHERS)}{_not_drawn(one, main)}",
            partial(one_panel, main, one.methods, baseline=baseline),
        ))  # fmt: skip
    if len(by_task) > 1:
        found.append(one.figure(
            f"{NAME}-by-task", "Score and peak memory by task",
            "Mean score over seeds and largest peak of each method on each task. "
            f"{_errors(*by_task)}{FRONT}{_unnamed(MOST, *by_task)}{_not_drawn(one, *by_task)}",
            partial(panels, by_task, one.methods, baseline=baseline),
        ))  # fmt: skip
    return found


def _of_task(one: OneModel, task: str) -> Panel:
    scores = [row.scores[task] for row in one.rows]
    metric = next((score.metric for score in scores if score.metric), None)
    scale = 100 if is_fraction(metric) else 1
    lowest = any(score.lowest for score in scores)
    points = []
    for row, score in zip(one.rows, scores, strict=True):
        peaks = [memory.peak_training for _, memory in measured(row, task)]
        value = _finite(score.mean, scale)
        if value is not None and score.metric == metric and peaks:
            spread = _finite(score.spread, scale)
            points.append(Point(row.method, value, spread, max(peaks), min(peaks)))
    said = f"{metric}{', %' if scale == 100 else ''}{', less is better' if lowest else ''}"
    return Panel(task, said, points, lowest)


def _average(one: OneModel) -> Panel:
    points = []
    for row in one.rows:
        value = _finite(row.average, 100)
        if value is not None and row.peak:
            means = _by_seed(row)
            spread = _finite(stdev(means), 100) if len(means) > 1 else None
            points.append(Point(row.method, value, spread, row.peak, row.peak))
    count = len(one.comparison.tasks)
    return Panel(f"average over {count} tasks", f"average over {count} tasks, %", points)


def _finite(value: float | None, scale: int) -> float | None:
    """Return the value times `scale`, where it can be drawn."""
    return value * scale if value is not None and math.isfinite(value) else None


def _by_seed(row: Row) -> list[float]:
    """Return the averages over tasks of the seeds that have them all."""
    tasks = [task for task, score in row.scores.items() if score.averaged is not None]
    by_seed: dict[int, list[float]] = {}
    for record, _ in measured(row):
        if record.averaged_score is not None:
            by_seed.setdefault(record.seed, []).append(record.averaged_score)
    return [mean(scores) for scores in by_seed.values() if len(scores) == len(tasks)]


def _errors(*panes: Panel) -> str:
    """Say what the error bars are, where there are any."""
    points = [point for panel in panes for point in panel.points]
    if all(point.spread is None for point in points):
        return ""
    ranges = any(point.least < point.peak for point in points)
    return "Error bars: standard deviation of the score" + (
        ", and the smallest peak, over seeds. " if ranges else " over seeds. "
    )


def _unnamed(most: int, *panes: Panel, others: str = "") -> str:
    """Say which methods have a name where there are too many of them."""
    methods = {point.method for panel in panes for point in panel.points}
    if len(methods) <= most:
        return ""
    return (
        f" Of {len(methods)} methods those of such a line, the baseline, the worst score and the "
        f"largest peak are named{others}."
    )


def _not_drawn(one: OneModel, *panes: Panel) -> str:
    """Name the methods without a point, with how their cells ended."""
    named = []
    for panel in panes:
        drawn = {point.method for point in panel.points}
        of = f" on {panel.title}" if len(panes) > 1 else ""
        for row in one.rows:
            if row.method not in drawn:
                records = [r for r in row.records if not of or r.task == panel.title]
                named.append(f"{row.method}{of} ({failures(records) or 'no score'})")
    return f" Not drawn: {few(named)}." if named else ""
