"""A user's own data as a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.tasks.base import DataRequest, Row, Task, TaskData, fingerprint, limit_notes, limited
from harness.tasks.own.cells import Cells
from harness.tasks.own.data import OwnData
from harness.tasks.own.kind import Kind
from harness.tasks.own.labels import in_order
from harness.tasks.own.parts import Place, notes_of
from harness.tasks.own.shares import apart, seen_before
from harness.units import is_fraction
from methods.wording import nearest

if TYPE_CHECKING:
    from harness.tasks.sources import Table


class OwnTask(Task):
    """Rows of files or of the hub, by columns that a suite names.

    Args:
        name: in paths and tables.
        data: what the suite says.
        root: the folder that relative paths start from; None: the working directory.
        revision: of a data set of the hub.
    """

    def __init__(
        self, name: str, data: OwnData, root: Path | None = None, revision: str | None = None
    ) -> None:
        self.name, self.data = name, data
        self.kind: Kind = data.of_kind
        self.place: Place = self.kind.place(data, root, revision)
        self.description = f"own data: {data.kind} of {data.path}"
        self.family = self.kind.family
        self.metrics = data.scored
        self.generation = self.kind.generation_of(data)

    @cached_property
    def label_names(self) -> tuple[str, ...]:  # type: ignore[override]  # read when asked for
        """The classes: those that the suite lists, else those of the training rows.

        Raises:
            UserError: they cannot be read, or are fewer than two.
        """
        if not self.kind.has_classes or self.data.labels is not None:
            return self.data.labels or ()
        if not self.place.is_local:
            return _classes(self.place, None)
        try:
            return _classes(self.place, self.place.stamp())
        except UserError as error:
            if self.place.path.exists():
                raise
            hint = "labels: [...] beside the path says without data how many there are"
            raise UserError(f"{error} ({hint})") from None

    @cached_property
    def num_labels(self) -> int:  # type: ignore[override]
        """Classes, or one number.

        Raises:
            UserError: as `label_names`.
        """
        return len(self.label_names) if self.kind.has_classes else 1

    def check(self) -> None:
        """See that the metrics can be computed here."""
        self.kind.require(self.metrics)

    def is_local(self, request: DataRequest) -> bool:
        """Tell whether the rows are on this machine."""
        return self.place.is_local

    def load(self, request: DataRequest) -> TaskData:
        """Read the rows; protocol `safe` selects on one half of the evaluation and tests the other.

        Raises:
            UserError: naming file and place of what is wrong.
        """
        try:
            return self._load(request)
        except UserError as error:
            raise UserError(f"task {self.name}: {error}") from None

    def _load(self, request: DataRequest) -> TaskData:
        tables = {"train": self.place.train(), "validation": self.place.evaluation() or []}
        if request.protocol == "safe":
            tables["test"] = self.place.test()
        rows = {part: self._rows(each) for part, each in tables.items()}
        train, evaluations = self._split(rows, request.protocol)
        train = self._limited(train, request.train_rows)
        evaluations = {
            name: self._limited(part, request.evaluation_rows) for name, part in evaluations.items()
        }
        for part in evaluations.values():
            self.kind.check_metrics(self.metrics, part, self.num_labels)
        main = self.metrics[0]
        notes = notes_of([table for each in tables.values() for table in each])
        return TaskData(
            train=train,
            evaluations=evaluations,
            select_on="validation",
            select_metric=main,
            report_on=tuple(evaluations)[-1:],
            main_metric=main,
            averaged=(main,) if is_fraction(main) else (),
            source=self.place.source,
            fingerprint=fingerprint(train, evaluations),
            notes=(*notes, *seen_before(train, evaluations), *limit_notes(request, train)),
            lowest=main in self.kind.lowest,
        )

    def score(self, predictions: Any, references: Any) -> dict[str, float]:
        """Return every metric, as its kind has it."""
        return self.kind.score(self.metrics, predictions, references)

    def _rows(self, tables: Sequence[Table]) -> list[Row]:
        """Make the family's rows."""
        for table in tables:
            table.check_columns(self.data.columns)
        cells = [Cells(table, index, self.data.columns)
                 for table in tables for index in range(len(table.rows))]  # fmt: skip
        if tables and not cells:
            raise UserError(f"{tables[0].source}: no rows")
        classes = {label: number for number, label in enumerate(self.label_names)}
        if self.kind.has_classes:
            _refuse_unknown(cells, classes)
        return [self.kind.row(each, classes) for each in cells]

    def _split(
        self, rows: Mapping[str, list[Row]], protocol: str
    ) -> tuple[list[Row], dict[str, list[Row]]]:
        train, validation, path = rows["train"], rows["validation"], self.place.path
        if isinstance(self.data.eval, float):
            train, validation = apart(train, self.data.eval, self._in_order, f"{path}: eval")
        if protocol != "safe":
            return train, {"validation": validation}
        test = rows["test"]
        if not test:
            where = f"{path}: protocol safe"
            validation, test = apart(validation, 0.5, self._in_order, where)
        return train, {"validation": validation, "test": test}

    def _limited(self, rows: list[Row], limit: int | None) -> list[Row]:
        return rows[:limit] if self._in_order else limited(rows, limit)

    @property
    def _in_order(self) -> bool:
        return self.kind.in_order(self.data)


def _refuse_unknown(rows: Sequence[Cells], classes: Mapping[str, int]) -> None:
    """Refuse labels that are no classes, all of them at once."""
    unknown: dict[str, Cells] = {}
    for cells in rows:
        label = cells.label()
        if label not in classes:
            unknown.setdefault(label, cells)
    if unknown:
        (label, cells), *others = unknown.items()
        also = ", ".join(map(repr, dict(others)))
        raise cells.wrong(
            "label",
            f"{label!r} is none of the labels to learn"
            + (f" (nor {'is' if len(others) == 1 else 'are'} {also[:200]})" if also else "")
            + f"; {nearest(label, classes)}",
        )


@lru_cache(maxsize=64)
def _classes(place: Place, stamp: object) -> tuple[str, ...]:
    """Return the labels of the training rows in the order of their numbers.

    Args:
        place: of the data.
        stamp: of its files, so that others are read anew.
    """
    columns = place.data.columns
    found: set[str] = set()
    for table in place.train():
        table.check_columns(columns)
        named = table.classes.get(columns["label"])
        if named is not None:
            return named
        found |= {Cells(table, index, columns).label() for index in range(len(table.rows))}
    if len(found) < 2:
        raise UserError(
            f"{place.path}: {len(found)} different labels in column {columns['label']!r}; a "
            "classification has at least two"
        )
    return in_order(found)
