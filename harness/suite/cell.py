"""One cell: what a suite's line comes down to."""

from __future__ import annotations

import hashlib
import json
from operator import not_
from typing import TYPE_CHECKING, Any

from pydantic import Field

from harness.analyses import get_analysis
from harness.models.attention import canonical
from harness.models.spec import ModelSpec
from harness.paths import path_part, user_path
from harness.record import SCHEMA_VERSION
from harness.suite.entries import TaskEntry
from harness.suite.frozen import Frozen
from harness.suite.numerics import TYPES
from harness.suite.settings import OLD_OUTPUTS, TrainSettings
from harness.tasks.base import DataRequest, Protocol
from harness.tasks.families import get_family
from methods import get_method

if TYPE_CHECKING:
    from harness.analyses.base import Analysis
    from harness.tasks.base import Task
    from harness.tasks.families.base import Family
    from harness.tasks.generation import Generation
    from methods import Method


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
    analyses: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="options by analysis", exclude_if=not_
    )

    @property
    def key(self) -> str:
        """Hash of what the cell resolved to, with the record schema's version."""
        content = self.model_dump(mode="json", exclude={"suite", "method_label", "axes"})
        content["model"].pop("label", None)
        content["train"]["eval_batch_size"] = self.train.evaluation_batch
        content["train"] = {k: v for k, v in content["train"].items() if k not in TYPES}
        content["train"].update(self.train.dtypes.named())
        content["train"]["attention"] = canonical(self.train.attention)
        content["train"][OLD_OUTPUTS] = self.train.outputs == "kept"
        if self.train.outputs != "step":
            content["train"].pop("outputs", None)
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
    def configured_analyses(self) -> dict[str, Analysis]:
        """The analyses with their options, by name."""
        return {name: get_analysis(name)(**given) for name, given in self.analyses.items()}

    @property
    def configured_task(self) -> Task:
        """The task that the entry names or describes; not for a bare shape, which has no data."""
        return self.task.configured(self.data_root)

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
        axes = [f"{name}={'null' if value is None else value}" for name, value in self.axes.items()]
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
