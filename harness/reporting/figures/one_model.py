"""The part of a comparison that a figure is of: one model's records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.record import Record
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
    records: Sequence[Record]
    rows: Sequence[Row]

    def of(self, method: str, task: str | None = None) -> list[Record]:
        """Return a method's records, of all tasks or of one."""
        return [r for r in self.records if r.method == method and task in (None, r.task)]

    def good(self, method: str, task: str | None = None) -> list[Record]:
        """Return those of them that ended well and were measured."""
        return [r for r in self.of(method, task) if r.outcome == "ok" and r.memory]

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
        records = [record for record in comparison.records if record.model == model]
        rows = [row for row in comparison.rows if row.model == model]
        yield OneModel(comparison, model, ending, records, rows)


def _endings(models: Sequence[str]) -> dict[str, str]:
    """Return what the names of a model's figures end in: nothing where there is one model."""
    if len(models) == 1:
        return {models[0]: ""}
    plain = [re.sub(r"[^A-Za-z0-9._]+", "-", model).strip("-.") for model in models]
    return {
        model: f"-{text}"
        if text and plain.count(text) == 1
        else f"-{text}-{place}".replace("--", "-")
        for place, (model, text) in enumerate(zip(models, plain, strict=True))
    }
