"""A suite and the cells it expands to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from fnmatch import fnmatch
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator

from harness.errors import UserError
from harness.models.spec import ModelSpec
from harness.paths import check_name, path_part, user_path
from harness.record import SCHEMA_VERSION
from harness.suite.entries import MethodEntry, ModelEntry, Rule, TaskEntry
from harness.suite.grid import Grid
from harness.suite.settings import Frozen, TrainSettings
from harness.suite.unfit import refuse_unfit
from harness.tasks import get_task
from harness.tasks.base import DataRequest, Protocol
from harness.tasks.families import get_family
from methods import get_method
from methods.wording import first_mistake

if TYPE_CHECKING:
    from harness.tasks.base import Task
    from harness.tasks.families.base import Family
    from harness.tasks.generation import Generation
    from methods import Method

Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what all generators of random numbers take
MOST_CELLS = 100_000


class Cell(Frozen):
    """One (method, model, task, seed, training settings): hashable, prints as a path."""

    suite: str
    method: str
    method_options: dict[str, Any]
    method_label: str
    model: ModelSpec
    task: TaskEntry
    seed: int
    protocol: Protocol
    data_root: str | None
    train: TrainSettings
    axes: dict[str, Any] = Field(default_factory=dict, description="this cell's grid values")

    @property
    def key(self) -> str:
        """Hash of what the cell resolved to, with the record schema's version."""
        content = self.model_dump(mode="json", exclude={"suite", "method_label", "axes"})
        content["model"].pop("label", None)
        content["train"]["eval_batch_size"] = self.train.evaluation_batch
        content["task"] = {k: v for k, v in content["task"].items() if k not in {"label", "train"}}
        revision = self.configured_method.revision
        if revision:
            content["method_revision"] = revision
        text = json.dumps([SCHEMA_VERSION, content], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def configured_method(self) -> Method:
        """The method with its options."""
        return get_method(self.method)(**self.method_options)

    @property
    def configured_task(self) -> Task:
        """The task that the entry names; not for a bare shape, which has no data."""
        return get_task(self.task.name)

    @property
    def generation(self) -> Generation | None:
        """How answers are generated; None: one forward pass evaluates."""
        return None if self.task.shape else self.configured_task.generation

    @property
    def task_label(self) -> str:
        """Name of the task in paths and tables."""
        return self.task.shown

    @property
    def path(self) -> str:
        """Readable name: task/model/method[/setting=value ...]/seed."""
        axes = [f"{name}={value}" for name, value in self.axes.items()]
        parts = [self.task_label, self.model.name, self.method_label, *axes, f"s{self.seed}"]
        return "/".join(map(path_part, parts))

    @property
    def family(self) -> Family:
        """What the kind of task decides."""
        shape = self.task.shape
        family = get_family(shape.family if shape else self.configured_task.family)
        return family.configured(**{name: getattr(self.train, name) for name in family.settings})

    @property
    def num_labels(self) -> int:
        """Outputs of the model's head, where the family gives it one."""
        shape = self.task.shape
        return shape.num_labels if shape else self.configured_task.num_labels

    @property
    def keep_best(self) -> bool:
        """Whether the best epoch is reported, by the settings or the protocol."""
        checkpoint = self.train.checkpoint or ("last" if self.protocol == "plain" else "best")
        return checkpoint == "best"

    @property
    def scores_epochs(self) -> bool:
        """Whether every epoch is scored."""
        return self.keep_best or self.train.evaluate == "epoch"

    def data_request(self) -> DataRequest:
        """Say which rows of which data the cell wants."""
        return DataRequest(
            protocol=self.protocol,
            data_root=user_path(self.data_root) if self.data_root else None,
            folder=user_path(self.task.folder) if self.task.folder else None,
            train_rows=self.task.train_rows,
            evaluation_rows=self.task.evaluation_rows,
            revision=self.task.revision,
            text_column=self.task.text_column,
            pair_column=self.task.pair_column,
            label_column=self.task.label_column,
            eval=self.task.eval,
        )

    def __str__(self) -> str:
        return self.path

    def __hash__(self) -> int:
        return hash(self.key)


class Suite(Frozen):
    """A validated suite file."""

    name: str = Field(pattern=r"^[\w.-]+$")
    description: str = ""
    model: ModelEntry | None = None
    models: tuple[ModelEntry, ...] = ()
    tasks: tuple[TaskEntry, ...] = Field(min_length=1)
    methods: tuple[MethodEntry, ...] = Field(min_length=1)
    seeds: tuple[Seed, ...] = Field((0,), min_length=1)
    train: TrainSettings = TrainSettings()
    grid: Grid = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    protocol: Protocol = "plain"
    data_root: str | None = Field(None, description="folder of local data sets; null: the hub")
    baseline: str | None = Field(None, description="method that times are relative to")

    @field_validator("name")
    @classmethod
    def _named(cls, value: str) -> str:
        return check_name(value)

    @model_validator(mode="after")
    def _check(self) -> Suite:
        if (self.model is None) == (not self.models):
            raise ValueError("give either model (one) or models (a list)")
        return self

    @property
    def chosen_models(self) -> tuple[ModelEntry, ...]:
        """The suite's models, one or several."""
        return self.models or ((self.model,) if self.model else ())

    def cells(self) -> list[Cell]:
        """Expand models x tasks x methods x grid x seeds, in reading order.

        Raises:
            UserError: two cells with one path, or settings that do not go together.
        """
        chosen = [(entry, get_method(entry.name)(**entry.options)) for entry in self.methods]
        cells: list[Cell] = []
        axes_lengths = [len(values) for values in self.grid.values()]
        count = prod([len(self.chosen_models), len(self.tasks), len(chosen), len(self.seeds),
                      *axes_lengths])  # fmt: skip
        if count > MOST_CELLS:
            raise UserError(f"suite {self.name}: {count:,} cells; at most {MOST_CELLS:,}")
        points = [dict(zip(self.grid, p, strict=True)) for p in product(*self.grid.values())]
        for model, task, (entry, method), axes, seed in product(
            self.chosen_models, self.tasks, chosen, points, self.seeds
        ):
            label = entry.label or method.label
            cells.append(
                Cell(
                    suite=self.name,
                    method=entry.name,
                    method_options=method.model_dump(mode="json"),
                    method_label=label,
                    model=model.spec,
                    task=task.bare(),
                    seed=seed,
                    protocol=self.protocol,
                    data_root=self.data_root,
                    train=self._settings(model, task, entry, label, axes),
                    axes=axes,
                )
            )
        _refuse_twins(cells)
        for cell in cells:
            refuse_unfit(self.name, cell.path, cell.task, cell.train, cell.family)
        return cells

    def _settings(
        self,
        model: ModelEntry,
        task: TaskEntry,
        method: MethodEntry,
        label: str,
        axes: dict[str, Any],
    ) -> TrainSettings:
        """Merge the layers, later ones win: suite, model, task, method, rules, grid."""
        merged = {
            **self.train.given(),
            **model.train.given(),
            **task.train.given(),
            **method.train.given(),
        }
        for rule in self.rules:
            if rule.fits(label, task.shown, model.name):
                merged |= rule.train.given()
        try:
            return TrainSettings(**merged | axes)
        except ValidationError as error:
            what = first_mistake(error, "train", model=TrainSettings)
            raise UserError(f"suite {self.name}, {task.shown} x {label}: {what}") from None


def choose(cells: Sequence[Cell], only: str, option: str = "--only") -> list[Cell]:
    """Return the cells whose path matches the glob.

    Raises:
        UserError: none does.
    """
    chosen = [cell for cell in cells if fnmatch(cell.path, only)]
    if not chosen:
        paths = ", ".join(cell.path for cell in cells[:3])
        raise UserError(f"{option} {only!r} matches none of {len(cells)} cells, such as {paths}")
    return chosen


def _refuse_twins(cells: Sequence[Cell]) -> None:
    seen: dict[str, Cell] = {}
    for cell in cells:
        if cell.path in seen:
            raise UserError(
                f"suite {cell.suite}: two cells are called {cell.path}; give one of the entries "
                "a label of its own"
            )
        seen[cell.path] = cell
