"""The child's side of an engine: one cell in a process of its own.

An engine starts `python -m harness.engines.worker`, hands it an order on standard input and keeps
that pipe open: when it closes, the engine is gone, and so is this process. Progress goes out as
JSON lines on a descriptor of its own; everything printed goes to the cell's log.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, BinaryIO

from harness.cell import new_record, run_cell
from harness.engines.base import EXIT_EXCEPTION, EXIT_INTERRUPTED, EXIT_USER_ERROR, Order
from harness.errors import UserError
from harness.plugins import load_plugins
from harness.store import Store
from harness.suite.batches import as_it_runs
from harness.suite.cell import Cell

if TYPE_CHECKING:
    from harness.engines.ranks import Others
    from harness.record import Record
    from harness.training.checkpoint import Checkpoints
    from harness.training.ranks import Lost
    from harness.training.setup import Progress

LINE = 300  # characters of an exception that a table shows


def main() -> int:
    """Run the cell that standard input names and return the exit code.

    The record is written before this returns; what ends the cell without one is in its log.
    """
    faulthandler.register(signal.SIGUSR1)  # the engine asks where a silent process is
    order = Order.model_validate_json(sys.stdin.buffer.readline())
    os.register_at_fork(after_in_child=lambda: _let_go(order.lock, order.progress))
    for descriptor in (order.lock, order.progress):
        os.set_inheritable(descriptor, False)
    threading.Thread(target=_die_with, args=(sys.stdin.fileno(),), daemon=True).start()
    from harness.training.loop import Interrupted

    try:
        _run(order)
    except UserError as error:
        _last_words(" ".join(str(error).split()))
        return EXIT_USER_ERROR
    except Interrupted as error:
        print(f"interrupted {error}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except OtherRankError as error:
        _last_words(str(error)[:LINE])
        return EXIT_EXCEPTION
    except Exception as error:
        traceback.print_exc()
        _last_words(f"{type(error).__name__}: {' '.join(str(error).split())}"[:LINE])
        return 1
    return 0


def _last_words(line: str) -> None:
    """End the log with the line that says why the cell failed, behind all else that was printed."""
    sys.stdout.flush()
    print(line, file=sys.stderr)


class OtherRankError(Exception):
    """Another rank of the cell failed; says how."""


def _run(order: Order) -> None:
    from harness.training.checkpoint import Checkpoints
    from harness.training.loop import Interrupted

    for plugin in order.plugins:
        load_plugins([plugin.module], plugin.folder)
    cell, store = Cell.model_validate(order.cell), Store(order.folder)
    checkpoints = Checkpoints(
        store.checkpoint_folder(cell), order.checkpoint_seconds, str(order.batches or "")
    )
    signal.signal(signal.SIGTERM, lambda *_: setattr(checkpoints, "wanted", True))
    others = _others(order, cell, store, checkpoints)
    with os.fdopen(order.progress, "wb") as stream:
        export = (order.export, store) if order.export else None
        try:
            record = run_cell(
                cell, _progress_to(stream), checkpoints, export, others.join if others else None,
                order.batches,
            )  # fmt: skip
        except (UserError, Interrupted):
            raise
        except Exception as error:
            if others and (lost := others.lost()):  # the one that others only hear the end of
                raise OtherRankError(lost.message) from error
            raise
        finally:
            if others:
                others.close()
        _write(record, order, cell, store, checkpoints)
    checkpoints.drop()


def _write(
    record: Record, order: Order, cell: Cell, store: Store, checkpoints: Checkpoints
) -> None:
    record.invocation, record.attempts = order.invocation, order.attempts
    record.beside = order.beside
    try:
        store.write(cell, record)
    except OSError:  # a full disk, say: most of what is the cell's there is its checkpoint
        checkpoints.drop()
        store.write(cell, record)


def _others(order: Order, cell: Cell, store: Store, checkpoints: Checkpoints) -> Others | None:
    """Start the cell's other ranks; None: it is on one device."""
    if cell.train.devices == 1:
        return None
    from harness.engines.ranks import Others

    def stuck(lost: Lost) -> None:
        code = EXIT_EXCEPTION
        if lost.outcome == "oom":
            record = new_record(cell, "oom", message=lost.message)
            record.out_of_memory = lost.out_of_memory
            as_it_runs(cell, order.batches, record)
            _write(record, order, cell, store, checkpoints)
            code = 0
        _last_words(lost.message)
        os._exit(code)

    return Others(order, cell, checkpoints.folder, stuck)


def _progress_to(stream: BinaryIO) -> Progress:
    last = 0.0

    def send(event: dict[str, Any]) -> None:
        nonlocal last
        now = time.monotonic()
        if "doing" in event or now - last > 0.2:
            last = now
            stream.write(json.dumps(event).encode() + b"\n")
            stream.flush()

    return send


def _die_with(descriptor: int) -> None:
    """End this process and all that it started when the other end of the pipe closes."""
    while os.read(descriptor, 4096):
        pass
    if os.getpgrp() == os.getpid():  # as the engine starts it
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def _let_go(*descriptors: int) -> None:
    """In a fork of this process: hold neither the run folder nor the engine's pipe.

    The numbers stay taken, so that whoever closes them closes nothing else.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor, inheritable=False)
    os.close(nowhere)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Skip the interpreter's teardown, which takes longer than it is worth after a record is out.
    os._exit(code)
