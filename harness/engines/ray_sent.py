"""A cell that was given to Ray, and what it has written by the time that it is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.engines.placing import Placed, Turn
    from harness.record import Record
    from harness.store import Store
    from harness.suite.cell import Cell

State = tuple[int, int] | None


@dataclass
class Sent:
    """A cell that was given to Ray.

    Attributes:
        placed: it and its devices.
        before: its record's state when it was sent; another one afterwards is this attempt's.
        heard: anything of it, so that it runs.
    """

    placed: Placed
    before: State
    heard: bool = False

    @property
    def turn(self) -> Turn:
        """The cell's turn."""
        return self.placed.turn

    def written(self, store: Store) -> Record | None:
        """Return the final record that this attempt has written, if it has."""
        cell = self.turn.cell
        if state_of(store, cell) == self.before or not store.is_done(cell):
            return None
        return store.read(cell)


def sent(placed: Placed, store: Store) -> Sent:
    """Return a cell as it is given to Ray now."""
    return Sent(placed, state_of(store, placed.turn.cell))


def state_of(store: Store, cell: Cell) -> State:
    """Return what tells one writing of a cell's record from the next."""
    try:
        found = store.record_file(cell).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
