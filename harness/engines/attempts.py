"""What an engine decides when a cell has ended: whether it runs again, when, and beside whom."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.cell import new_record
from harness.engines.base import End, worth_another
from harness.engines.placing import Turn
from harness.suite.batches import ran, smaller

if TYPE_CHECKING:
    from harness.engines.child import Limits
    from harness.engines.needs import Need
    from harness.engines.placing import Placed
    from harness.provenance import Invocation
    from harness.record import Record
    from harness.store import Store
    from harness.suite.cell import Cell

LOST = "lost: "  # how the end of an attempt begins that was lost with a worker or a node
LOSSES = 5  # after which a cell is not run again


def another(placed: Placed, record: Record, end: End, limits: Limits, now: float) -> Turn | None:
    """Return the turn of another attempt, or None where this one's record stays.

    What ran out of memory beside other cells is tried again with its devices to itself: that is no
    crash of its own, and does not count among its retries.
    """
    smaller = halved(placed.turn, record, end, limits)
    if smaller is not None:
        return smaller
    turn, ended = placed.turn, (record.message or record.outcome).splitlines()[0]
    if not end.stopping and (record.is_shared_oom or (record.is_host_oom and placed.shares)):
        return turn.again(f"beside other cells: {ended}", now, alone=True)
    if not worth_another(record, end):
        return None
    counted = len(turn.attempts) - turn.alone - turn.halvings - _losses(turn)
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


def first(store: Store, cell: Cell, need: Need, limits: Limits) -> Turn:
    """Return a cell's first turn: with batches below those that its record says did not fit."""
    record = store.read(cell) if limits.halve and not limits.afresh else None
    turn = Turn(cell, need)
    return (record and _in_halves(turn, record, tuple(record.attempts))) or turn


def halved(turn: Turn, record: Record, end: End, limits: Limits) -> Turn | None:
    """Return the turn of an attempt with smaller batches; None: that is not asked, or no help.

    What decides is memory that did run out, with its device to itself. A forecast decides nothing.
    """
    if not limits.halve or end.stopping:
        return None
    return _in_halves(turn, record, turn.attempts)


def _in_halves(turn: Turn, record: Record, attempts: tuple[str, ...]) -> Turn | None:
    batches = smaller(turn.cell, record)
    if batches is None:
        return None
    ended = f"{record.message}; batch {ran(record)}, next {batches}"
    told = (*attempts, ended)
    new = len(told) - len(turn.attempts)  # those of an earlier run are no retries of this one
    return replace(turn, batches=batches, attempts=told, halvings=turn.halvings + new)


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
