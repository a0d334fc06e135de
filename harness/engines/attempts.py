"""What an engine decides when a cell has ended: whether it runs again, when, and beside whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.cell import new_record
from harness.engines.base import End, worth_another

if TYPE_CHECKING:
    from harness.engines.child import Limits
    from harness.engines.placing import Placed, Turn
    from harness.provenance import Invocation
    from harness.record import Record
    from harness.store import Store

LOST = "lost: "  # how the end of an attempt begins that was lost with a worker or a node
LOSSES = 5  # after which a cell is not run again


def another(placed: Placed, record: Record, end: End, limits: Limits, now: float) -> Turn | None:
    """Return the turn of another attempt, or None where this one's record stays.

    What ran out of memory beside other cells is tried again with its devices to itself: that is no
    crash of its own, and does not count among its retries.
    """
    turn, ended = placed.turn, (record.message or record.outcome).splitlines()[0]
    if not end.stopping and (record.is_shared_oom or (record.is_host_oom and placed.shares)):
        return turn.again(f"beside other cells: {ended}", now, alone=True)
    if not worth_another(record, end):
        return None
    counted = len(turn.attempts) - turn.alone - _losses(turn)
    if counted >= limits.retries:
        return None
    return turn.again(ended, now + limits.back_off * 2**counted)


def after_loss(turn: Turn, why: str, limits: Limits, now: float) -> Turn | None:
    """Return the next turn of a cell that was lost with what it ran on, or None after too many.

    That is no crash of its own, and does not count among its retries; but it may be the reason.
    """
    before = _losses(turn)
    if before >= LOSSES:
        return None
    return turn.again(f"{LOST}{why}", now + limits.back_off * 2**before)


def _losses(turn: Turn) -> int:
    return sum(attempt.startswith(LOST) for attempt in turn.attempts)


def refuse(store: Store, turn: Turn, why: str, invocation: Invocation | None = None) -> Record:
    """Return the record of a cell that is not sent, because no device has room for it.

    A result of before stays in the store, as `conclude` has it.
    """
    record = new_record(turn.cell, "unfit", message=why, invocation=invocation)
    if not store.is_done(turn.cell):
        store.write(turn.cell, record)
    return record


def crashed(
    store: Store, turn: Turn, why: str, invocation: Invocation | None = None, *, write: bool = True
) -> Record:
    """Return the record of a cell that has left none; a result of before stays in the store."""
    record = new_record(turn.cell, "crashed", message=why, invocation=invocation)
    record.attempts = list(turn.attempts)
    if write and not store.is_done(turn.cell):
        store.write(turn.cell, record)
    return record
