"""One row of a table by the roles of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import UserError
from harness.tasks.own.labels import spelled
from harness.tasks.sources import Table
from methods.wording import shortened


@dataclass(frozen=True)
class Cells:
    """A row's cells; `columns` are the names of the columns by role (`text`, `pair`, `label`)."""

    table: Table
    index: int
    columns: Mapping[str, str]

    def value(self, role: str) -> Any:
        """Return what the cell holds; None: no column has this role.

        Raises:
            UserError: the row does not have the column.
        """
        return self.table.value(self.index, self.columns[role]) if role in self.columns else None

    def text(self, role: str) -> str:
        """Return the cell's text, empty where it is; numbers and truth values as they are written.

        Raises:
            UserError: it holds none of them.
        """
        value = self.value(role)
        text = value if isinstance(value, str) else spelled(value)
        if text is None:
            raise self.wrong(role, f"{shortened(value, 60)} is no text")
        return text

    def label(self) -> str:
        """Return how the label is written.

        Raises:
            UserError: there is none.
        """
        value = self.value("label")
        label = spelled(value)
        if label is None:
            raise self.wrong("label", f"no label, but {shortened(value, 60)}")
        return label

    def wrong(self, role: str, what: str) -> UserError:
        """Return the error that says what is wrong with a cell, and where it is."""
        return UserError(f"{self.table.place(self.index)}, column {self.columns[role]!r}: {what}")
