"""A user's own data as a task."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.tasks.base import DataRequest, Row, Task, TaskData, fingerprint, limit_notes, limited
from harness.tasks.own.cells import Cells
from harness.tasks.own.data import OwnData
from harness.tasks.own.kinds import named
from harness.tasks.own.labels import in_order
from harness.tasks.own.parts import Place, notes_of
from harness.units import is_fraction
from methods.wording import nearest

if TYPE_CHECKING:
    from harness.tasks.sources import Table

# A split belongs to the data and not to the cell: every seed evaluates on the same rows.
SPLIT_SEED = 42


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
        self.name, self.data, self.kind = name, data, data.of_kind
        self.place: Place = named(self.kind.place)(data, root, revision)
        self.description = f"own data: {data.kind} of {data.path}"
        self.family = self.kind.family
        self.metrics = data.scored
        self.generation = self.kind.generation

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
        from harness.tasks.metrics import LOWER_IS_BETTER

        tables = {"train": self.place.train(), "validation": self.place.evaluation() or []}
        if request.protocol == "safe":
            tables["test"] = self.place.test()
        rows = {part: self._rows(each) for part, each in tables.items()}
        train, evaluations = self._split(rows, request.protocol)
        train = limited(train, request.train_rows)
        evaluations = {
            name: limited(part, request.evaluation_rows) for name, part in evaluations.items()
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
            notes=(*notes, *_seen_before(train, evaluations), *limit_notes(request, train)),
            lowest=main in LOWER_IS_BETTER,
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
        train, validation = rows["train"], rows["validation"]
        if isinstance(self.data.eval, float):
            train, validation = _apart(train, self.data.eval, f"{self.place.path}: eval")
        if protocol != "safe":
            return train, {"validation": validation}
        test = rows["test"]
        if not test:
            validation, test = _apart(validation, 0.5, f"{self.place.path}: protocol safe")
        return train, {"validation": validation, "test": test}


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


def _apart(rows: Sequence[Row], share: float, where: str) -> tuple[list[Row], list[Row]]:
    """Draw a share of the rows, at least one; returns the others and them, both in their order."""
    count = max(1, round(share * len(rows)))
    if count >= len(rows):
        raise UserError(f"{where}: a share of {share:g} leaves nothing of {len(rows)} rows")
    drawn = set(random.Random(SPLIT_SEED).sample(range(len(rows)), count))
    halves: tuple[list[Row], list[Row]] = ([], [])
    for index, row in enumerate(rows):
        halves[index in drawn].append(row)
    return halves


def _seen_before(train: Sequence[Row], evaluations: Mapping[str, Sequence[Row]]) -> list[str]:
    """Say how many rows that are evaluated on are training rows, too."""
    known = {repr(row.facts()) for row in train}
    counts = {name: sum(repr(row.facts()) in known for row in part)
              for name, part in evaluations.items()}  # fmt: skip
    return [
        f"{count} of {len(evaluations[name])} {name} rows stand among the training rows, too"
        for name, count in counts.items()
        if count
    ]


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
