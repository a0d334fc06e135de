"""What a task is: rows to train on, rows to evaluate on, and a score."""

from __future__ import annotations

import hashlib
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args
from typing import Protocol as Structure

from harness.errors import UserError
from methods.wording import nearest

if TYPE_CHECKING:
    from harness.tasks.generation import Generation

Protocol = Literal["aflora", "safe", "plain"]

# A subset of the rows belongs to the task and not to the cell: every seed sees the same one.
SUBSET_SEED = 0


class Row(Structure):
    """One row of a task, of the kind that its family encodes."""

    def facts(self) -> list[Any]:
        """Return what a model could learn or be scored from, as JSON has it."""


R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class Example:
    """One row: a text, its pair where the task has one, and a class number or a target value.

    `group` names the kind of row where the task knows it (the phenomenon of an acceptability
    sentence). It is for breaking a score down and no input of the model.
    """

    text: str
    pair: str | None
    label: int | float
    group: str = ""

    def facts(self) -> list[Any]:
        """Return what a model could learn or be scored from."""
        return [self.text, self.pair, self.label]


@dataclass(frozen=True)
class DataRequest:
    """Which rows a cell asks of its task.

    `data_root` is a folder of folders, searched by the task's usual names; `folder` is this task's
    own folder; with neither, the hub at `revision`. `train_rows` and `evaluation_rows` are upper
    limits. The columns override the header names that the task would look for. `eval` is the share
    of the rows that is held out to evaluate on, where the data come as one part.

    Raises:
        UserError: for an unknown protocol or a limit below one.
    """

    protocol: Protocol = "plain"
    data_root: Path | None = None
    folder: Path | None = None
    train_rows: int | None = None
    evaluation_rows: int | None = None
    revision: str | None = None
    text_column: str | None = None
    pair_column: str | None = None
    label_column: str | None = None
    eval: float | None = None

    def __post_init__(self) -> None:
        if self.protocol not in get_args(Protocol):
            raise UserError(
                f"unknown protocol {self.protocol!r}: {nearest(self.protocol, get_args(Protocol))}"
            )
        for key in ("train_rows", "evaluation_rows"):
            limit = getattr(self, key)
            if limit is not None and limit < 1:
                raise UserError(f"{key} must be at least 1, got {limit}")


@dataclass(frozen=True)
class TaskData:
    """The rows of one cell and what the protocol does with them.

    The best checkpoint is the one with the highest `select_metric` on evaluation `select_on`. The
    table shows the scores on `report_on`, `main_metric` first. A task enters an average over tasks
    with the mean of its `averaged` metrics over `report_on`; without any it has no place in one.
    With `lowest` the best checkpoint is the one with the lowest `select_metric`. `source` is "hub
    REPOSITORY@REVISION", "local FOLDER" or "embedded"; `fingerprint` is `fingerprint(train,
    evaluations)`.
    """

    train: Sequence[Row]
    evaluations: Mapping[str, Sequence[Row]]
    select_on: str
    select_metric: str
    report_on: tuple[str, ...]
    main_metric: str
    averaged: tuple[str, ...]
    source: str
    fingerprint: str
    notes: tuple[str, ...] = ()
    lowest: bool = False

    def scored(self, every_epoch: bool) -> list[str]:
        """Return the names of the evaluations that a run scores: at its end, or in each epoch."""
        return list(dict.fromkeys([*([self.select_on] if every_epoch else []), *self.report_on]))


class Task(ABC):
    """One task: where its rows come from, how they are split and how predictions are scored.

    Made with the name that it is registered under. What its kind of task decides (head, encoding,
    batches) is its family's, which `family` names. `label_names` are its classes, in the order of
    their numbers, for those who use an exported model; empty: they have no names. Where
    `generation` says how, what the model generates is scored; None: one forward pass is. One that
    `holds_out` can split data that come as one part, as a request's `eval` says.
    """

    name: str
    description: str
    num_labels: int
    family: str
    metrics: tuple[str, ...]
    label_names: tuple[str, ...] = ()
    generation: Generation | None = None
    holds_out: bool = False

    @abstractmethod
    def load(self, request: DataRequest) -> TaskData:
        """Read the rows and split them by the protocol (UserError where the data is at fault)."""

    def check(self) -> None:  # noqa: B027
        """See that what scores this task is installed, before anything is trained.

        Raises:
            UserError: naming what is missing, and how to install it.
        """

    def is_local(self, request: DataRequest) -> bool:
        """Tell whether the rows are on this machine, so that asking for them is quick."""
        return request.data_root is not None or request.folder is not None

    def score(self, predictions: Any, references: Any) -> dict[str, float]:
        """Every metric of the task, as a fraction where it is one.

        Args:
            predictions: as the family makes them: logits (n, num_labels), or values (n, 1), here.
            references: the family's: class numbers or target values (n,), here.
        """
        from harness.tasks.metrics import score

        return score(self.metrics, predictions, references)


def limited(rows: Sequence[R], limit: int | None) -> list[R]:
    """At most `limit` rows, drawn with a fixed seed and kept in their order.

    A larger limit keeps every row that a smaller one kept.
    """
    if limit is None or limit >= len(rows):
        return list(rows)
    draw = random.Random(SUBSET_SEED)
    order = sorted(range(len(rows)), key=lambda _: draw.random())
    return [rows[index] for index in sorted(order[:limit])]


def limit_notes(request: DataRequest, train: Sequence[Row]) -> tuple[str, ...]:
    """Say so where fewer training rows exist than were asked for."""
    if request.train_rows is None or request.train_rows <= len(train):
        return ()
    return (f"train_rows {request.train_rows} asked for, all {len(train)} used",)


def fingerprint(train: Iterable[Row], evaluations: Mapping[str, Iterable[Row]]) -> str:
    """The sha256 (hex) over all rows in order: what a model could learn or be scored from."""
    digest = hashlib.sha256()
    for part, rows in {"train": train, **evaluations}.items():
        for row in rows:
            line = json.dumps([part, *row.facts()])
            digest.update(line.encode() + b"\n")
    return digest.hexdigest()
