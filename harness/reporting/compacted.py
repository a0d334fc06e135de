"""What is left once all that training only masked is taken out: before and after."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from harness.record import Compacted, PhaseMemory, Record
from harness.reporting.comparison import mean_known
from harness.reporting.grouping import tables_by_model
from harness.reporting.phases import part_of, per_step
from harness.reporting.tables import Table
from harness.reporting.units import giga, mib, millions, ratio, score

HEADERS = (
    "score", "score, compacted", "parameters", "parameters, compacted", "peak", "peak, compacted",
    "activations", "activations, compacted", "GFLOP / step", "GFLOP / step, compacted",
    "step time, compacted / before",
)  # fmt: skip


def compacted_tables(records: Sequence[Record]) -> list[Table]:
    """Return one table per model with a row per task and method that was compacted; none if no."""
    good = [r for r in records if r.outcome == "ok" and r.compacted and r.memory]
    return tables_by_model(good, "compacted after training (MiB)", HEADERS, _figures)


def compacted_notes(records: Sequence[Record]) -> list[str]:
    """Say what the figures of the table are."""
    if not compacted_tables(records):
        return []
    return [
        "Compacted: after training, without the heads, channels or ranks that it only masked; the "
        "adapters are still beside the weights. Before: the last phase of training. Peak and its "
        "activations (with temporaries), FLOPs and time are those of training steps on the same "
        "data; step time is a ratio within one run. Means over seeds."
    ]


def _figures(found: Sequence[Record]) -> list[str]:
    pairs = [(r, r.compacted, r.memory.phases[-1]) for r in found if r.compacted and r.memory]
    return [
        score(mean_known(r.main_score for r, _, _ in pairs)),
        score(mean_known(_main(r, after) for r, after, _ in pairs)),
        millions(mean_known(r.parameters.total for r, _, _ in pairs if r.parameters)),
        millions(mean(after.parameters_total for _, after, _ in pairs)),
        mib(mean(before.peak_allocated for _, _, before in pairs)),
        mib(mean(after.memory.peak_allocated for _, after, _ in pairs)),
        mib(mean(part_of(before, "activations") for _, _, before in pairs)),
        mib(mean(part_of(after.memory, "activations") for _, after, _ in pairs)),
        giga(mean_known(per_step(before) for _, _, before in pairs)),
        giga(mean_known(per_step(after.memory) for _, after, _ in pairs)),
        ratio(mean_known(_speed(a.memory, b) for _, a, b in pairs)),
    ]


def _main(record: Record, after: Compacted) -> float | None:
    if record.main_metric is None:
        return None
    return mean(scores[record.main_metric] for scores in after.scores.values())


def _speed(after: PhaseMemory, before: PhaseMemory) -> float | None:
    if not after.step_median or not before.step_median:
        return None
    return after.step_median / before.step_median
