"""What every engine shares: the order to a cell's process, its events, and how one ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cell import new_record
from harness.part import Part
from harness.plugins import Plugin
from harness.provenance import Invocation
from harness.record import ExportKind, Record
from harness.suite.suite import Cell

if TYPE_CHECKING:
    from harness.store import Store

# Outcome of a cell whose process wrote no record, by exit code; others are crashes.
EXIT_EXCEPTION = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 128 + signal.SIGTERM
LOG_TAIL_LINES = 40


class Order(Part):
    """What a cell's process is told, as one line of JSON on its standard input.

    Attributes:
        cell: as JSON: what it names may come from the plug-ins, which are loaded first.
        plugins: modules, and the folders where they may lie.
        folder: of the store.
        progress: descriptor that events go to, one JSON object a line.
        checkpoint_seconds: training time between checkpoints.
        invocation: how the run was asked for.
    """

    cell: dict[str, Any]
    plugins: list[Plugin]
    folder: Path
    progress: int
    checkpoint_seconds: float
    export: ExportKind | None = None
    invocation: Invocation | None = None


@dataclass(frozen=True)
class Event:
    """Something a running cell reported: `record` when it finished, else `progress`."""

    cell: Cell
    progress: dict[str, Any] | None = None
    record: Record | None = None


@dataclass(frozen=True)
class End:
    """How a cell's process ended.

    Attributes:
        code: exit code; negative: the signal that killed it.
        seconds: that it ran.
        stopping: the engine was ending its children by then.
        oom_killed: the kernel killed a process for memory meanwhile.
    """

    code: int
    seconds: float
    stopping: bool
    oom_killed: bool


def conclude(store: Store, cell: Cell, end: End, invocation: Invocation | None = None) -> Record:
    """Return the record that the cell wrote, or write one that says how it ended without.

    A result of before stays until there is another one: a cell that is run again and does not get
    that far leaves it where it is.
    """
    record = store.read(cell)
    if end.code == 0 and record is not None:
        return record
    tail = tail_of(store.log_file(cell))
    if end.stopping or end.code == EXIT_INTERRUPTED:
        record = new_record(cell, "interrupted", end.seconds)
    elif end.code == -signal.SIGKILL and end.oom_killed:
        record = new_record(cell, "oom", end.seconds, message="host memory: killed by the kernel")
    elif end.code == EXIT_USER_ERROR:
        record = new_record(cell, "crashed", end.seconds, message=tail.strip(), log_tail=tail)
    else:
        record = new_record(cell, "crashed", end.seconds, message=_how(end, tail), log_tail=tail)
    record.invocation = invocation
    if store.is_done(cell):
        kept = "the result of before stays"
        record.message = f"{record.message}; {kept}" if record.message else kept
    else:
        store.write(cell, record)
    return record


def _how(end: End, tail: str) -> str:
    """Say how a process crashed: a signal, or the line that its exception ends with in the log."""
    if end.code < 0:
        return f"signal {signal.Signals(-end.code).name}"
    last = tail.strip().rpartition("\n")[2] if end.code == EXIT_EXCEPTION else ""
    return last or f"exit code {end.code}"


def kernel_oom_kills() -> int:
    """Return how many processes the kernel has killed for memory so far (0 where unknown)."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def tail_of(log: Path) -> str:
    """Return the last lines of a log; empty where there is none."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
    except OSError:
        return ""
