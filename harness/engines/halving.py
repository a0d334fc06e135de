"""`--on-oom halve`: a cell whose batch does not fit runs again with half of it, in two passes.

What decides is memory that did run out, in a process of its own; a forecast decides nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.suite.batches import ran, smaller

if TYPE_CHECKING:
    from harness.out_of_memory import Batches
    from harness.record import Record
    from harness.store import Store
    from harness.suite.cell import Cell


@dataclass(frozen=True)
class Attempt:
    """What a cell runs with next: its batches (None: its own), and how earlier attempts ended."""

    batches: Batches | None = None
    ended: tuple[str, ...] = ()


class Halving:
    """Says with which batches a cell begins, and goes on once they did not fit.

    Args:
        store: where an earlier run may have left how far it came.
        on: False: every cell has its own batches, and none a second attempt for them.
        fresh: begin with the cell's own batches, whatever an earlier run found.
    """

    def __init__(self, store: Store, *, on: bool, fresh: bool = False) -> None:
        self._store, self._on, self._fresh = store, on, fresh

    def first(self, cell: Cell) -> Attempt:
        """Return what the cell begins with: below what its record says did not fit."""
        record = self._store.read(cell) if self._on and not self._fresh else None
        return (record and self.after(cell, record)) or Attempt()

    def after(self, cell: Cell, record: Record) -> Attempt | None:
        """Return what follows an attempt; None: nothing, or nothing that this decides."""
        batches = smaller(cell, record) if self._on else None
        if batches is None:
            return None
        ended = f"{record.message}; batch {ran(record)}, next {batches}"
        return Attempt(batches, (*record.attempts, ended))
