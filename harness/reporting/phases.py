"""What changes inside a run: first phase against last, for methods that freeze."""

from __future__ import annotations

from collections.abc import Sequence

from harness.record import Memory, PhaseMemory, Record
from harness.reporting.comparison import SPLIT, mean_known, method_of
from harness.reporting.grouping import tables_by_model
from harness.reporting.tables import Table
from harness.reporting.units import giga, mib, ratio

HEADERS = (
    "phases", "first peak", "last peak", "mean over steps", "first activations",
    "last activations", "last optimizer", "lowest live layer", "first GFLOP / step",
    "last GFLOP / step", "step time, last / first", "probe peak", "probe / training s",
)  # fmt: skip


def phase_tables(records: Sequence[Record]) -> list[Table]:
    """Return one table per model, a row per task and method; none if no run has two phases."""
    good = [r for r in records if r.outcome == "ok" and r.memory and r.memory.phases]
    if not any(r.memory and len(r.memory.phases) > 1 for r in good):
        return []
    return tables_by_model(good, "phases (MiB)", HEADERS, _figures)


def phase_notes(records: Sequence[Record]) -> list[str]:
    """Say what the figures of the tables are."""
    if not phase_tables(records):
        return []
    cached = {
        method_of(record): record.method_state["cache"]["bytes"]
        for record in records
        if "cache" in record.method_state
    }
    return [
        "Phases: stretches of training with one set of trainable tensors and one forward pass. "
        "First and last: peak allocated and its activations (with temporaries) in that phase; mean "
        "over steps: phase peaks weighted by their steps. Back-propagation ends at the lowest live "
        "layer, counted from 0. Step time is a ratio within one run. Probe: what the method looks "
        "at between epochs, beside training. Means over seeds.",
        *(
            f"{method}: the frozen prefix's outputs are kept on the host ({mib(size)} MiB), with "
            "dropout below it off."
            for method, size in cached.items()
        ),
    ]


def _figures(found: Sequence[Record]) -> list[str]:
    memories = [record.memory for record in found if record.memory]
    counts = sorted({len(memory.phases) for memory in memories})
    lowest = sorted({_lowest(memory.phases[-1]) for memory in memories})
    return [
        "/".join(map(str, counts)),
        mib(mean_known(m.phases[0].peak_allocated for m in memories)),
        mib(mean_known(m.peak_last_phase for m in memories)),
        mib(mean_known(m.peak_step_mean for m in memories)),
        mib(mean_known(part_of(m.phases[0], "activations") for m in memories)),
        mib(mean_known(part_of(m.phases[-1], "activations") for m in memories)),
        mib(mean_known(part_of(m.phases[-1], "optimizer") for m in memories)),
        "/".join(lowest),
        giga(mean_known(per_step(m.phases[0]) for m in memories)),
        giga(mean_known(per_step(m.phases[-1]) for m in memories)),
        ratio(mean_known(_speed(m) for m in memories)),
        mib(mean_known(m.peak_probe for m in memories)),
        ratio(mean_known(_probe_share(r) for r in found)),
    ]


def _lowest(phase: PhaseMemory) -> str:
    return "none" if phase.shallowest_live_layer is None else str(phase.shallowest_live_layer)


def part_of(phase: PhaseMemory, name: str) -> int:
    """Return the bytes of one of SPLIT's parts at the phase's peak."""
    return sum(phase.split.get(category, 0) for category in SPLIT[name])


def per_step(phase: PhaseMemory) -> float | None:
    """Return the FLOPs of a step of the phase, on average."""
    return phase.flops / phase.steps if phase.flops and phase.steps else None


def _speed(memory: Memory) -> float | None:
    """Return the last phase's median step over the first's, where there are two."""
    first, last = memory.phases[0].step_median, memory.phases[-1].step_median
    return last / first if first and last and len(memory.phases) > 1 else None


def _probe_share(record: Record) -> float | None:
    time = record.time
    looked = record.memory is not None and record.memory.peak_probe is not None
    return time.probes / time.training if time and looked and time.training else None
