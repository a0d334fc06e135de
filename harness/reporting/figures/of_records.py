"""The figures that a report draws from its records; each only where it has something to say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from harness.record import Memory, Record
from harness.reporting.comparison import Row, compare_methods
from harness.reporting.figures.bars import Bar, stacked
from harness.reporting.figures.costs import Cost, costs
from harness.reporting.figures.courses import MOST, NARROW, Course, courses
from harness.reporting.figures.figure import Figure
from harness.reporting.figures.freezing import layers_over_time, projections
from harness.reporting.figures.froze import Froze, froze
from harness.reporting.figures.of_analyses import analysis_figures
from harness.reporting.figures.of_scores import score_figures
from harness.reporting.figures.one_model import OneModel, each_model, measured
from harness.reporting.figures.words import failures, shown

if TYPE_CHECKING:
    from harness.reporting.groups import Group

T = TypeVar("T")
MAPS = 12  # small maps of freezing in one figure
MOST_MAPS = 24  # of a model: nobody looks at the hundredth, and each takes its time
MOST_OF_PROJECTIONS = 4


def figures_of(group: Group, baseline: str | None = None) -> list[Figure]:
    """Return the figures of a group, for each model on its own.

    Names are distinct within the group only. Without a baseline the suite's serves.
    """
    comparison = compare_methods(group.records, baseline or group.suite.get("baseline"))
    makers = (score_figures, _memory, _courses, _costs, _freezing, analysis_figures)
    return [figure for one in each_model(comparison) for make in makers for figure in make(one)]


# -- memory --------------------------------------------------------------------------------------


def _memory(one: OneModel) -> list[Figure]:
    bars = [_bar(row) for row in one.rows]
    if not any(bar.total or bar.forecast for bar in bars):
        return []
    said = (
        "The largest peak of each method over tasks and seeds, split at that peak by what holds "
        "it; activations include temporaries."
    )
    if any(bar.forecast for bar in bars):
        said += " Strokes: what was foreseen of the same runs before their first step."
    if any(record.memory and record.memory.meter == "cuda" for record in one.records):
        said += " Dashed lines: what cards are sold with; a process can use less of them."
    return [one.figure(
        "memory", "Peak memory by what holds it", said,
        partial(stacked, bars, "peak memory in training"),
    )]  # fmt: skip


def _bar(row: Row) -> Bar:
    foreseen = round(row.forecast * row.peak) if row.forecast and row.peak else None
    if not row.peak:
        foreseen = max(map(_foreseen, row.records), default=0) or None
    failed = failures(row.records)
    return Bar(row.method, row.split, row.peak, foreseen, failed)


def _foreseen(record: Record) -> int:
    stages = record.forecast.stages.values() if record.forecast else ()
    return max((stage.peak_allocated for stage in stages), default=0)


# -- over training -------------------------------------------------------------------------------


def _courses(one: OneModel) -> list[Figure]:
    """Return the memory over steps of each method that changes on its way."""
    several = len(one.comparison.tasks) > 1
    runs = []
    for row in one.rows:
        found = max(measured(row), key=lambda each: _changes(each[1]), default=None)
        if found is None or len(found[1].phases) < 2:
            continue
        record, memory = found
        title = f"{row.method}, {record.task}" if several else row.method
        runs.append(Course(title, memory, _baseline_peak(one, record)))
    if not runs:
        return []
    said = (
        "One run of each method whose tensors freeze, go or come on the way; of every phase the "
        "split at its own peak, which is that of its own longest batch, so that a phase's peak "
        "may lie above the one before it."
    )
    if any(run.rest for run in runs):
        said += (
            " Not split: workspaces of libraries, what the allocator did not split off, and, where "
            "a phase's largest step was not audited, what it held beyond the audited one."
        )
    if any(run.merged for run in runs):
        said += (
            f" Phases of less than {100 * NARROW:g} % of the steps are drawn together with short "
            "ones beside them, with peak and split of the largest."
        )
    return [
        one.figure(
            f"memory-over-training{ending}", "Peak memory over training", said,
            partial(courses, part, one.comparison.baseline),
        )
        for part, ending in _in_parts(runs, MOST)
    ]  # fmt: skip


def _changes(memory: Memory) -> tuple[bool, int]:
    """Order runs: those that change first, then by their peak."""
    return len(memory.phases) > 1, memory.peak_training


def _baseline_peak(one: OneModel, record: Record) -> int | None:
    """Return the peak of the baseline's run on the same task, of the same seed."""
    base = _base(one)
    if base is None or base.method == record.method:
        return None
    peaks = {r.seed: memory.peak_training for r, memory in measured(base, record.task)}
    return peaks.get(record.seed)


def _base(one: OneModel) -> Row | None:
    return next((row for row in one.rows if row.method == one.comparison.baseline), None)


# -- costs ---------------------------------------------------------------------------------------


def _costs(one: OneModel) -> list[Figure]:
    base = _base(one)
    if base is None or len(one.rows) < 2:
        return []
    every = [
        Cost("time of a step", [_drawable(row.relative_time) for row in one.rows]),
        Cost("FLOPs of training", _over(one.rows, base, lambda row: row.training_flops)),
        Cost("parameters that train", _over(one.rows, base, lambda row: row.adapter_mean)),
    ]
    known = [cost for cost in every if sum(bool(ratio) for ratio in cost.ratios) > 1]
    if not known:
        return []
    methods, name = [row.method for row in one.rows], shown(base.method)
    failed = [failures(row.records) for row in one.rows]
    shared = any(row.shared for row in one.rows)
    return [one.figure(
        "costs", f"Time, FLOPs and parameters over those of {name}",
        f"Ratios to {name}. Time: of the median step, median over the same tasks and seeds. "
        "FLOPs: of the whole training, one multiply-add is two. Parameters: trainable ones of the "
        "adapter without head and pooler, mean over steps."
        + (" Other processes were on the card: times depend on them." if shared else ""),
        partial(costs, methods, failed, known, one.methods), of_memory=False,
    )]  # fmt: skip


def _over(
    rows: Sequence[Row], base: Row, read: Callable[[Row], float | None]
) -> list[float | None]:
    whole = read(base)
    found = [read(row) for row in rows]
    return [_drawable(value / whole if value and whole else None) for value in found]


def _drawable(ratio: float | None) -> float | None:
    return ratio if ratio is not None and 0 < ratio < math.inf else None


# -- freezing ------------------------------------------------------------------------------------


def _freezing(one: OneModel) -> list[Figure]:
    maps = [each for each in _maps(one) if each]
    if not maps:
        return []
    said = (
        "Of the adapter tensors of a kind that ever froze, the share that trains in each layer, "
        "over all seeds."
    )
    if len(maps) > MOST_MAPS:
        said += f" The first {MOST_MAPS} of {len(maps)} are drawn."
    of_projections = [each for each in maps if each.by_kind]
    shown_of = len(of_projections[:MOST_OF_PROJECTIONS])
    left = f" The first {shown_of} of {len(of_projections)} such maps are drawn."
    found = [
        one.figure(
            f"freezing{ending}", "Which layers train until when", said,
            partial(layers_over_time, part), of_memory=False,
        )
        for part, ending in _in_parts(maps[:MOST_MAPS], MAPS)
    ]  # fmt: skip
    for place, each in enumerate(of_projections[:MOST_OF_PROJECTIONS]):
        ending = f"-{place + 1}" if place else ""
        found.append(one.figure(
            f"freezing-of-projections{ending}", f"When projections froze: {shown(each.title)}",
            "Mean over the seeds in which a projection froze; –: it trained to the end."
            + (left if shown_of < len(of_projections) else ""),
            partial(projections, each), of_memory=False,
        ))  # fmt: skip
    return found


def _maps(one: OneModel) -> Iterator[Froze | None]:
    tasks = one.comparison.tasks
    for row in one.rows:
        for task in tasks:
            title = f"{row.method}, {task}" if len(tasks) > 1 else row.method
            yield froze([r for r in row.records if r.task == task], title)


def _in_parts(whole: Sequence[T], most: int) -> Iterator[tuple[Sequence[T], str]]:
    """Yield so many at a time, with what tells the name of each part from the first one's."""
    for start in range(0, len(whole), most):
        yield whole[start : start + most], f"-{start // most + 1}" if start else ""
