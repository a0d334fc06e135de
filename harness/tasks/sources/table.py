"""Rows with the place that each came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import UserError
from methods.wording import nearest


@dataclass(frozen=True)
class Table:
    """The rows of one file, or of one split of the hub.

    Attributes:
        source: the file or the split, as messages call it.
        columns: in their order.
        rows: by column; what JSON leaves out of a row is not in it.
        numbers: of each row: its line in a text, else its place in the order.
        unit: what the numbers count: `line` or `row`.
        classes: the names that a column takes, where the source fixes them, in their order.
        notes: on how it was read, for the record.
    """

    source: str
    columns: tuple[str, ...]
    rows: Sequence[dict[str, Any]]
    numbers: Sequence[int]
    unit: str = "line"
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def place(self, index: int) -> str:
        """Return where the row stands, for messages."""
        return f"{self.source}, {self.unit} {self.numbers[index]}"

    def check_columns(self, wanted: Mapping[str, str]) -> None:
        """Refuse the table where a column is not there.

        Args:
            wanted: what a message calls each column's role, and the column's name.

        Raises:
            UserError: naming the nearest column.
        """
        for role, name in wanted.items():
            if name not in self.columns:
                raise UserError(
                    f"{self.source}: {role}: there is no column {name!r}; "
                    f"{nearest(name, self.columns)}"
                )

    def value(self, index: int, column: str) -> Any:
        """Return one cell.

        Raises:
            UserError: the row does not have it.
        """
        try:
            return self.rows[index][column]
        except KeyError:
            raise UserError(f"{self.place(index)}: has no {column!r}") from None

    def only(self, columns: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows with these columns alone.

        Raises:
            UserError: the table, or a row, does not have one of them.
        """
        self.check_columns({f"column {name!r}": name for name in columns})
        return [
            {name: self.value(index, name) for name in columns} for index in range(len(self.rows))
        ]
