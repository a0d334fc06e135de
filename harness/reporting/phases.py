"""What changes inside a run: first phase against last, for methods that freeze."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.record import Memory, PhaseMemory, Record
from harness.reporting.columns import Column, Table, change, gigaflop, mebibytes, quotient, words
from harness.reporting.comparison import coarse, mean_known
from harness.reporting.method_notes import short_of
from harness.units import mib


@dataclass(frozen=True)
class Group:
    """One task's runs of one method, over seeds."""

    name: str
    records: Sequence[Record]

    @property
    def memories(self) -> list[Memory]:
        """What was measured in each run."""
        return [record.memory for record in self.records if record.memory]


def tables_by_model(
    records: Sequence[Record], title: str, columns: Sequence[Column[Group]], *, aside: bool = False
) -> list[Table[Group]]:
    """Return a table per model with a row per task and method, in the order of the records.

    Args:
        records: those that have such figures.
        title: what the table shows, behind the model's name.
        columns: the figures, behind the method's name.
        aside: they go with another table, below which the notes stand.
    """
    several = len({record.task for record in records}) > 1
    many = len({record.model for record in records}) > 1
    tables = []
    for model in dict.fromkeys(record.model for record in records):
        groups: dict[str, list[Record]] = {}
        own = [record for record in records if record.model == model]
        for record in own:
            task = f"{record.task} " if several else ""
            groups.setdefault(task + record.method, []).append(record)
        rows = [Group(name, members) for name, members in groups.items()]
        named = [words("method", lambda group: group.name), *columns]
        shown = f"{model}: {title}" if many else title[0].upper() + title[1:]
        notes = [] if aside else short_of(own)
        tables.append(Table(shown, named, rows, notes, folded=True, aside=aside))
    return tables


def phase_tables(records: Sequence[Record]) -> list[Table[Group]]:
    """Return two tables per model, a row per task and method; none if no run has two phases."""
    good = [r for r in records if r.outcome == "ok" and r.memory and r.memory.phases]
    if not any(r.memory and len(r.memory.phases) > 1 for r in good):
        return []
    return [
        *tables_by_model(good, "memory, first → last phase (MiB)", _memory_columns()),
        *tables_by_model(good, "work, first → last phase", _work_columns(), aside=True),
    ]


def phase_notes(records: Sequence[Record]) -> list[str]:
    """Say what the figures of the tables are."""
    if not phase_tables(records):
        return []
    cached = {
        record.method: record.method_state["cache"]["bytes"]
        for record in records
        if "cache" in record.method_state
    }
    return [
        "Phases: stretches of training with one set of trainable tensors and one forward pass. "
        "First and last: peak allocated and its activations (with temporaries) in that phase; mean "
        f"over steps: {_mean_of(records)}. Back-propagation ends at the lowest live layer, counted "
        "from 0. Step time is last over first, within one run. Probe: what the method looks at "
        "between epochs, beside training; its time is over that of training. Means over seeds.",
        *(
            f"{method}: the frozen prefix's outputs are kept on the host ({mib(size)} MiB), with "
            "dropout below it off."
            for method, size in cached.items()
        ),
    ]


def _mean_of(records: Sequence[Record]) -> str:
    """Say what a mean over steps is over; until November 2026 it was over the phases' peaks."""
    phases = [phase for record in records if record.memory for phase in record.memory.phases]
    each = "of each step's own peak, by its padded tokens where it was not audited"
    whole = "of the phases' peaks, each by its own longest batch, weighted by their steps"
    if all(phase.peak_mean is not None for phase in phases):
        return each
    if all(phase.peak_mean is None for phase in phases):
        return whole
    return f"{each}; of older records {whole}"


def _memory_columns() -> list[Column[Group]]:
    def of_phase(header: str, read: Callable[[PhaseMemory], float | None], which: int) -> Any:
        return mebibytes(header, lambda g: mean_known(read(m.phases[which]) for m in g.memories))

    def part(name: str) -> Column[Group]:
        def read(phase: PhaseMemory) -> float:
            return coarse(phase.split)[name]

        return change(name, of_phase(f"first {name}", read, 0), of_phase(f"last {name}", read, -1))

    last: Column[Group] = mebibytes(
        "last peak", lambda g: mean_known(m.peak_last_phase for m in g.memories)
    )
    return [
        words("phases", lambda g: _distinct(len(m.phases) for m in g.memories)),
        change("peak", of_phase("first peak", lambda phase: phase.peak_allocated, 0), last),
        mebibytes("mean over steps", lambda g: mean_known(m.peak_step_mean for m in g.memories)),
        part("activations"),
        part("optimizer"),
    ]


def _work_columns() -> list[Column[Group]]:
    def of_phase(header: str, which: int) -> Column[Group]:
        return gigaflop(header, lambda g: mean_known(per_step(m.phases[which]) for m in g.memories))

    return [
        words("lowest live layer", lambda g: _distinct(_lowest(m.phases[-1]) for m in g.memories)),
        change("GFLOP/step", of_phase("first GFLOP/step", 0), of_phase("last GFLOP/step", -1)),
        quotient("step time", lambda g: mean_known(map(_speed, g.memories))),
        mebibytes("probe peak", lambda g: mean_known(m.peak_probe for m in g.memories)),
        quotient("probe time", lambda g: mean_known(map(_probe_share, g.records))),
    ]


def _distinct(values: Iterable[int | str]) -> str:
    return "/".join(map(str, sorted(set(values))))


def _lowest(phase: PhaseMemory) -> str:
    return "none" if phase.shallowest_live_layer is None else str(phase.shallowest_live_layer)


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
