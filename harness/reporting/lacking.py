"""Runs that memory was short for: where it ran out, what was alive, and what ran in halves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.out_of_memory import OutOfMemory
from harness.record import Record
from harness.reporting.columns import Column, Table, memory, words
from harness.reporting.comparison import coarse
from harness.suite.batches import ran
from harness.units import Unit, mib, unit_for

# Of what was alive, those parts that have a column; the notes name the largest of all.
PARTS = ("weights", "activations")
LARGEST = 3  # places that a note names


@dataclass(frozen=True)
class _Run:
    """A record under its run's name."""

    name: str
    record: Record

    @property
    def lack(self) -> OutOfMemory:
        """Where memory ran out, as far as the record says it."""
        return self.record.out_of_memory or OutOfMemory(doing="")

    @property
    def peak(self) -> int | None:
        """The peak of training."""
        return self.record.memory.peak_training if self.record.memory else None

    @property
    def forecast(self) -> int | None:
        """The forecast peak: of what the run was at."""
        stages = self.record.forecast.stages.values() if self.record.forecast else ()
        if self.lack.batch_of == "evaluation":
            sizes = [stage.peak_evaluation for stage in stages]
        else:
            sizes = [stage.peak_allocated for stage in stages]
        return max((size for size in sizes if size is not None), default=None)


def comparable(record: Record) -> Record:
    """Return a record as it compares with others: of one that ran in halves only what it learned.

    The optimizer took the same steps, so that its scores count; memory, time and FLOPs of a step
    are another batch's.
    """
    if not record.is_halved:
        return record
    bare = {"memory": None, "time": None, "flops": None, "forecast": None, "compacted": None}
    return record.model_copy(update=bare)


def lack_tables(records: Sequence[Record]) -> list[Table[_Run]]:
    """Return a table of the runs that ended where memory ran out; none without one."""
    runs = _runs([r for r in records if r.outcome == "oom" and r.out_of_memory])
    if not runs:
        return []
    unit = unit_for(run.lack.alive for run in runs if run.lack.alive is not None)
    columns: list[Column[_Run]] = [
        words("run", lambda run: run.name),
        words("at", lambda run: run.lack.part or run.lack.doing),
        memory("alive", lambda run: run.lack.alive, unit),
        *(_part(part, unit) for part in PARTS),
        memory("forecast", lambda run: run.forecast, unit),
    ]
    notes = [f"{run.name}: {_told(run)}." for run in runs]
    title = f"Where memory ran out, and what was alive ({unit.name})"
    return [Table(title, columns, runs, notes, folded=True)]


def halved_tables(halved: Sequence[Record], records: Sequence[Record]) -> list[Table[_Run]]:
    """Return a table of the runs whose own batches did not fit, with what smaller ones took.

    Args:
        halved: with their memory.
        records: that are told of; the others no table can be made with.
    """
    told = {(r.path, r.key) for r in records}
    runs = _runs([r for r in halved if r.outcome == "ok" and (r.path, r.key) in told])
    if not runs:
        return []
    unit = unit_for(run.record.memory.peak_training for run in runs if run.record.memory)
    columns: list[Column[_Run]] = [
        words("run", lambda run: run.name),
        words("batch x passes", lambda run: str(run.record.asked_batches)),
        words("as it ran", lambda run: str(ran(run.record))),
        memory("peak", lambda run: run.peak, unit),
    ]
    note = (
        "Their own batches did not fit (--on-oom halve): the same steps in more passes. Their "
        "peaks, times and FLOPs are of smaller batches, and stand in no other table."
    )
    return [Table(f"Run in smaller batches ({unit.name})", columns, runs, [note])]


def _runs(records: Sequence[Record]) -> list[_Run]:
    several = len({record.model for record in records}) > 1
    return [
        _Run(f"{f'{r.model} ' if several else ''}{r.task} {r.method} s{r.seed}", r) for r in records
    ]


def _part(part: str, unit: Unit) -> Column[_Run]:
    def read(run: _Run) -> int | None:
        return coarse(run.lack.split)[part] if run.lack.split else None

    return memory(part, read, unit)


def _told(run: _Run) -> str:
    """Say where memory ran out, and what held most of it."""
    lack = run.lack
    where = f"{lack.doing}, step {lack.step}" if lack.step is not None else lack.doing
    said = [where]
    if lack.op:
        said.append(f"{lack.op} in {lack.path or 'no module'} asked for more")
    if lack.again is False:
        said.append("done again, it fitted: what was alive is of its peak")
    if lack.reserved is not None and lack.capacity is not None:
        said.append(f"{mib(lack.reserved)} MiB reserved of {mib(lack.capacity)}")
    largest = [f"{mib(holder['num_bytes'])} MiB {holder['category']} of {holder['path'] or '-'}"
               for holder in lack.holders[:LARGEST]]  # fmt: skip
    if largest:
        said.append(f"the largest: {', '.join(largest)}")
    return "; ".join(said)
