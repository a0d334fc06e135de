"""The other ranks of a cell on several devices: processes that the cell's own starts and watches.

Whatever ends one of them ends the cell, with what that one says; and they end with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.engines.base import EXIT_INTERRUPTED
from harness.out_of_memory import Batches
from harness.part import Part
from harness.plugins import Plugin
from harness.training.ranks import Lost

if TYPE_CHECKING:
    from harness.engines.base import Order
    from harness.suite.cell import Cell
    from harness.training.ranks import Ranks

# Until a rank that waits for one that ended is ended itself: gloo tells it at once, NCCL does not.
GRACE_SECONDS = 10.0
COMMAND = [sys.executable, "-m", "harness.engines.rank"]
LATE_SECONDS = 2.0  # what ended a rank may arrive later than that it ended


class RankOrder(Part):
    """What a rank beside the first is told, as one line of JSON on its standard input.

    Attributes:
        cell: as JSON, as in `Order`.
        plugins: likewise.
        checkpoint: the cell's folder for its checkpoint.
        rank: of the process.
        meeting: the file where the ranks find each other.
        told: descriptor that its end is told on, as one JSON object.
        batches: to run the cell with, where its own did not fit.
    """

    cell: dict[str, Any]
    plugins: list[Plugin]
    checkpoint: Path
    rank: int
    meeting: Path
    told: int
    batches: Batches | None = None


class Others:
    """All ranks but the first.

    Args:
        order: of the cell.
        cell: it.
        checkpoint: the cell's folder for its checkpoint.
        stuck: called where a rank has ended and this process does not get away from waiting for
            it; is told how that ended, and ends this process.
    """

    def __init__(
        self, order: Order, cell: Cell, checkpoint: Path, stuck: Callable[[Lost], None]
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="headroom-ranks-"))
        self._size, self._stuck = cell.train.devices, stuck
        self._lost: Lost | None = None
        self._hears, self._done = threading.Event(), threading.Event()
        self._open: list[Any] = []
        share_cores(self._size)
        for rank in range(1, self._size):
            self._start(rank, order, checkpoint)

    def join(self) -> Ranks:
        """Meet them."""
        from harness.training.ranks import Joined

        return Joined(0, self._size, self._folder / "meeting", self.ran_out)

    def ran_out(self) -> Lost | None:
        """Return how one of them ran out of memory; None: none did."""
        lost = self.lost()
        return lost if lost and lost.outcome == "oom" else None

    def lost(self) -> Lost | None:
        """Return how the first of them that failed ended; None: none has."""
        self._hears.wait(LATE_SECONDS)
        return self._lost

    def close(self) -> None:
        """Note that the cell is done: what becomes of them is nobody's trouble."""
        self._done.set()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, rank: int, order: Order, checkpoint: Path) -> None:
        heard, told = os.pipe()
        process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE, pass_fds=(told,),
        )  # fmt: skip
        os.close(told)
        line = RankOrder(
            cell=order.cell, plugins=order.plugins, checkpoint=checkpoint, rank=rank,
            meeting=self._folder / "meeting", told=told, batches=order.batches,
        ).model_dump_json()  # fmt: skip
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once; its exit code tells
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
        self._open.append(process.stdin)  # open as long as this process lives
        threading.Thread(target=self._watch, args=(rank, process, heard), daemon=True).start()

    def _watch(self, rank: int, process: subprocess.Popen[bytes], heard: int) -> None:
        with os.fdopen(heard, "rb") as stream:
            said = stream.read()
        code = process.wait()
        well = not said and code in (0, EXIT_INTERRUPTED)
        if well or self._done.is_set() or self._lost is not None:
            return
        lost = (
            Lost.model_validate_json(said) if said else Lost(outcome="crashed", message=_how(code))
        )
        # Whose memory it was stands first, as in the first rank's own words.
        told, who = lost.message, f"rank {rank}"
        message = f"{told} ({who})" if lost.outcome == "oom" else f"{who}: {told}"
        self._lost = lost.model_copy(update={"message": message})
        self._hears.set()
        if not self._done.wait(GRACE_SECONDS):
            self._stuck(self._lost)


def share_cores(processes: int) -> None:
    """Give each process its share of the cores, before torch takes all of them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (cores or 1) // processes)))


def _how(code: int) -> str:
    import signal

    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
