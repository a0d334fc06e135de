"""What is left once all that training only masked is taken out: before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean
from typing import NamedTuple

from harness.record import Compacted, PhaseMemory, Record
from harness.reporting.columns import (
    Column,
    Table,
    change,
    gigaflop,
    mebibytes,
    parameters,
    percent,
    quotient,
)
from harness.reporting.comparison import coarse, mean_known
from harness.reporting.phases import Group, per_step, tables_by_model
from harness.units import is_fraction


def compacted_tables(records: Sequence[Record]) -> list[Table[Group]]:
    """Return one table per model with a row per task and method that was compacted; none if no."""
    good = [r for r in records if r.outcome == "ok" and r.compacted and r.memory]
    return tables_by_model(good, "before → after compaction (MiB)", _columns())


def compacted_notes(records: Sequence[Record]) -> list[str]:
    """Say what the figures of the table are."""
    if not compacted_tables(records):
        return []
    return [
        "Compacted: after training, without the heads, channels or ranks that it only masked; the "
        "adapters are still beside the weights. Before: the last phase of training. Peak and its "
        "activations (with temporaries), FLOPs and time are those of training steps on the same "
        "data; step time is compacted over before, within one run. Means over seeds."
    ]


class _Pair(NamedTuple):
    """One run: its last phase of training, and what was measured of the compacted model."""

    record: Record
    before: PhaseMemory
    after: Compacted


def _pairs(group: Group) -> list[_Pair]:
    return [
        _Pair(record, record.memory.phases[-1], record.compacted)
        for record in group.records
        if record.compacted and record.memory
    ]


def _columns() -> list[Column[Group]]:
    def both(
        kind: Callable[[str, Callable[[Group], float | None]], Column[Group]],
        header: str,
        before: Callable[[_Pair], float | None],
        after: Callable[[_Pair], float | None],
    ) -> list[Column[Group]]:
        return [
            change(
                header,
                kind(header, lambda group: mean_known(map(before, _pairs(group)))),
                kind(f"{header}, compacted", lambda group: mean_known(map(after, _pairs(group)))),
            )
        ]

    return [
        *both(percent, "score", lambda p: _shown(p, p.record.main_score),
              lambda p: _shown(p, _main(p))),
        *both(parameters, "parameters", _total, lambda p: p.after.parameters_total),
        *both(mebibytes, "peak", lambda p: p.before.peak_allocated,
              lambda p: p.after.memory.peak_allocated),
        *both(mebibytes, "activations", lambda p: coarse(p.before.split)["activations"],
              lambda p: coarse(p.after.memory.split)["activations"]),
        *both(gigaflop, "GFLOP/step", lambda p: per_step(p.before),
              lambda p: per_step(p.after.memory)),
        quotient("step time",
                 lambda group: mean_known(map(_speed, _pairs(group)))),
    ]  # fmt: skip


def _total(pair: _Pair) -> float | None:
    return pair.record.parameters.total if pair.record.parameters else None


def _shown(pair: _Pair, value: float | None) -> float | None:
    """Leave out what is no fraction: the column is in per cent, over all tasks."""
    return value if is_fraction(pair.record.main_metric) else None


def _main(pair: _Pair) -> float | None:
    metric = pair.record.main_metric
    if metric is None:
        return None
    return mean(scores[metric] for scores in pair.after.scores.values())


def _speed(pair: _Pair) -> float | None:
    before, after = pair.before.step_median, pair.after.memory.step_median
    return after / before if before and after else None
