"""The part of a comparison that a figure is of: one model's records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.record import Memory, Record
from harness.reporting.comparison import Comparison, Row
from harness.reporting.figures.figure import Figure
from harness.reporting.figures.theme import Mode
from harness.reporting.figures.words import conditions

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@dataclass(frozen=True)
class OneModel:
    """One model's records and rows; `ending` tells its figures from another model's."""

    comparison: Comparison
    name: str
    ending: str
    rows: Sequence[Row]

    @property
    def methods(self) -> list[str]:
        """All of the comparison, of every model: a method's colour is by its place among them."""
        return list(dict.fromkeys(row.method for row in self.comparison.rows))

    @property
    def records(self) -> list[Record]:
        """All of its records."""
        return [record for row in self.rows for record in row.records]

    def figure(
        self,
        name: str,
        title: str,
        said: str,
        draw: Callable[[Mode], Drawing],
        of_memory: bool = True,
    ) -> Figure:
        """Return a figure; its caption says what it shows, then what was measured with what."""
        where = f"{title}: {self.name}" if self.ending else title
        caption = f"{said} {conditions(self.records, of_memory)}"
        return Figure(f"{name}{self.ending}", where, caption, draw)


def each_model(comparison: Comparison) -> Iterator[OneModel]:
    """Yield the models of a comparison, in the order of the suite."""
    for model, ending in _endings(comparison.models).items():
        rows = [row for row in comparison.rows if row.model == model]
        yield OneModel(comparison, model, ending, rows)


def measured(row: Row, task: str | None = None) -> list[tuple[Record, Memory]]:
    """Return the row's records that ended well, of all tasks or of one, with their memory."""
    return [
        (record, record.memory)
        for record in row.records
        if record.outcome == "ok" and record.memory and task in (None, record.task)
    ]


def _endings(models: Sequence[str]) -> dict[str, str]:
    """Return what the names of a model's figures end in: nothing where there is one model.

    Names that are no different, or nothing, as a part of a link become numbers.
    """
    if len(models) == 1:
        return {models[0]: ""}
    plain = [re.sub(r"[^A-Za-z0-9._]+", "-", model).strip("-.") for model in models]
    if "" in plain or len(set(plain)) < len(plain):
        plain = [f"model-{place}" for place in range(1, len(models) + 1)]
    return {model: f"-{text}" for model, text in zip(models, plain, strict=True)}
