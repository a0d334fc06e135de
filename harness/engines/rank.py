"""A rank beside the first: runs the cell as the first one does, and leaves the record to it."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import traceback
from functools import partial

from harness.cell import run_cell
from harness.engines.base import EXIT_INTERRUPTED, EXIT_USER_ERROR
from harness.engines.ranks import RankOrder
from harness.errors import UserError
from harness.plugins import load_plugins
from harness.record import Record
from harness.suite.cell import Cell
from harness.training.ranks import Lost


def main() -> int:
    """Run the share that standard input names; return the exit code.

    How it failed goes out as one JSON object on the order's descriptor; what it prints, to the
    cell's log. It ends with the first rank, whose end of the pipe then closes.
    """
    faulthandler.register(signal.SIGUSR1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the first rank says when to end
    order = RankOrder.model_validate_json(sys.stdin.buffer.readline())
    os.set_inheritable(order.told, False)
    threading.Thread(target=_die_with, args=(sys.stdin.fileno(),), daemon=True).start()
    from harness.training.loop import Interrupted

    try:
        record = _run(order)
    except Interrupted:
        return EXIT_INTERRUPTED
    except UserError as error:
        _tell(order, Lost(outcome="crashed", message=str(error)))
        return EXIT_USER_ERROR
    except Exception as error:
        traceback.print_exc()
        _tell(order, Lost(outcome="crashed", message=f"{type(error).__name__}: {error}"))
        return 1
    if record.outcome == "oom":
        _tell(order, Lost(outcome="oom", message=record.message or "",
                          out_of_memory=record.out_of_memory))  # fmt: skip
        return 1
    return 0


def _run(order: RankOrder) -> Record:
    from harness.training.checkpoint import Checkpoints
    from harness.training.ranks import Joined

    for plugin in order.plugins:
        load_plugins([plugin.module], plugin.folder)
    cell = Cell.model_validate(order.cell)
    join = partial(Joined, order.rank, cell.train.devices, order.meeting)
    checkpoints = Checkpoints(order.checkpoint, float("inf"), str(order.batches or ""))
    return run_cell(cell, lambda _: None, checkpoints, join=join, batches=order.batches)


def _tell(order: RankOrder, lost: Lost) -> None:
    lost.message = " ".join(lost.message.split())
    with os.fdopen(order.told, "wb") as stream:  # more than a pipe holds, perhaps
        stream.write(lost.model_dump_json().encode())


def _die_with(descriptor: int) -> None:
    """End this process when the other end of the pipe closes."""
    while os.read(descriptor, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # as the first rank does
