"""What every engine shares: the order to a cell's process, its events, and how one ended."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import Field

from harness.cell import new_record
from harness.out_of_memory import Batches
from harness.part import Part
from harness.plugins import Plugin
from harness.provenance import Invocation
from harness.record import ExportKind, Record
from harness.suite.cell import Cell
from harness.units import gib

if TYPE_CHECKING:
    from harness.engines.needs import Need
    from harness.engines.placing import Device
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
        lock: descriptor of its lock; what the process forks does not keep it.
        progress: descriptor that events go to, one JSON object a line.
        checkpoint_seconds: training time between checkpoints.
        invocation: how the run was asked for.
        attempts: how this cell's earlier attempts in this run ended.
        batches: to run it with, where its own did not fit.
        beside: how many other cells may run on its device meanwhile.
    """

    cell: dict[str, Any]
    plugins: list[Plugin]
    folder: Path
    lock: int
    progress: int = -1
    checkpoint_seconds: float
    export: ExportKind | None = None
    invocation: Invocation | None = None
    attempts: list[str] = Field(default_factory=list)
    batches: Batches | None = None
    beside: int = 0


@dataclass(frozen=True)
class Event:
    """News of a cell: `progress`, how an attempt ended (`put_off`: another follows), `record`."""

    cell: Cell
    progress: dict[str, Any] | None = None
    put_off: str | None = None
    record: Record | None = None


@dataclass(frozen=True)
class End:
    """How a cell's process ended.

    Attributes:
        code: exit code; negative: the signal that killed it.
        seconds: that it ran.
        stopping: the engine was ending its children by then.
        oom_kills: processes that the kernel killed for memory meanwhile, on all of the machine:
            they may be others.
        held: bytes of host memory that it held when last seen.
        limit: that it was ended by, in words.
    """

    code: int
    seconds: float
    stopping: bool = False
    oom_kills: int = 0
    held: int = 0
    limit: str | None = None


class Engine(Protocol):
    """What runs cells, wherever.

    Attributes:
        store: where records and logs go.
        export: what every cell writes to deploy, if anything.
    """

    store: Store
    export: ExportKind | None

    @property
    def devices(self) -> Sequence[Device]:
        """Where cells run."""
        ...

    def run(
        self, cells: Sequence[Cell], listen: Callable[[Event], None], needs: Sequence[Need] = ()
    ) -> None:
        """Run all cells; `listen` is called in this thread. On Ctrl-C they are ended first.

        `needs` are the cells', in their order; without them they run in that order.
        """
        ...


def conclude(
    store: Store,
    cell: Cell,
    end: End,
    invocation: Invocation | None = None,
    attempts: Sequence[str] = (),
) -> Record:
    """Return the record that the cell wrote, or write one that says how it ended without.

    A result of before stays until there is another one: a cell that is run again and does not get
    that far leaves it where it is.
    """
    record = store.read(cell)
    if end.code == 0 and record is not None:
        return record
    record = _without_a_word(cell, end, tail_of(store.log_file(cell)))
    record.invocation, record.attempts = invocation, list(attempts)
    if store.is_done(cell):
        kept = "the result of before stays"
        record.message = f"{record.message}; {kept}" if record.message else kept
    else:
        store.write(cell, record)
    return record


def worth_another(record: Record, end: End) -> bool:
    """Tell whether the same cell may end otherwise at another time: not after a user's mistake."""
    if end.stopping or end.limit or end.code == EXIT_USER_ERROR:
        return False
    return record.outcome == "crashed" or record.is_host_oom


def _without_a_word(cell: Cell, end: End, tail: str) -> Record:
    """Return the record of a process that left none."""
    if end.limit and end.code != EXIT_INTERRUPTED:
        return new_record(cell, "crashed", end.seconds, message=end.limit, log_tail=tail)
    if end.limit:  # it wrote its checkpoint, and can go on
        return new_record(cell, "interrupted", end.seconds, message=end.limit)
    if end.stopping or end.code == EXIT_INTERRUPTED:
        return new_record(cell, "interrupted", end.seconds)
    return new_record(cell, "crashed", end.seconds, message=_how(end, tail), log_tail=tail)


def _how(end: End, tail: str) -> str:
    """Say how a process crashed: a signal, or the line that its log ends with: what ended it."""
    if end.code == -signal.SIGKILL and end.oom_kills:
        return (
            f"signal SIGKILL, and the kernel killed {end.oom_kills} for memory on this machine "
            f"meanwhile: perhaps this one, which held {gib(end.held)} GiB when last seen"
        )
    if end.code < 0:
        return f"signal {signal.Signals(-end.code).name}"
    in_words = end.code in (EXIT_EXCEPTION, EXIT_USER_ERROR)
    last = tail.strip().rpartition("\n")[2] if in_words else ""
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
