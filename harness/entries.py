"""The entries of a suite's lists, in the short and the long spelling."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import Any

from pydantic import Field, PositiveInt, field_validator, model_validator

from harness import tasks
from harness.errors import nearest
from harness.models import ModelSpec
from harness.settings import Frozen, TrainSettings


class MethodEntry(Frozen):
    """`lora`, or `{lora: {r: 8}, label: ..., train: {...}}` in a suite's list of methods."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    label: str | None = None
    train: TrainSettings = TrainSettings()

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"name": data}
        if not isinstance(data, dict) or "name" in data:
            return data
        rest = {key: value for key, value in data.items() if key in {"label", "train"}}
        names = [key for key in data if key not in rest]
        if len(names) != 1:
            raise ValueError(
                f"one method with its options, beside label and train; found {', '.join(names)}"
            )
        return {"name": names[0], "options": data[names[0]] or {}, **rest}


class TaskEntry(Frozen):
    """`rte`, or `{name: rte, epochs: 20, train_rows: 1000}`; training settings may stand flat."""

    name: str
    label: str | None = None
    folder: str | None = Field(None, description="this task's own data folder")
    revision: str | None = Field(None, description="data set revision on the hub")
    train_rows: PositiveInt | None = Field(None, description="a seeded sample of the rows")
    evaluation_rows: PositiveInt | None = None
    text_column: str | None = Field(None, description="column name where the files differ")
    pair_column: str | None = None
    label_column: str | None = None
    train: TrainSettings = TrainSettings()

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in tasks.names():
            raise ValueError(f"unknown task {value!r}; {nearest(value, tasks.names())}")
        return value

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"name": data}
        if not isinstance(data, dict):
            return data
        flat = {key: value for key, value in data.items() if key in TrainSettings.model_fields}
        if not flat:
            return data
        rest = {key: value for key, value in data.items() if key not in flat}
        return {**rest, "train": {**flat, **rest.get("train", {})}}


class ModelEntry(ModelSpec):
    """A model and the training settings that go with it."""

    train: TrainSettings = TrainSettings()

    @property
    def spec(self) -> ModelSpec:
        """The model without the settings."""
        return ModelSpec(**self.model_dump(exclude={"train"}))


class Rule(Frozen):
    """Training settings for some of the cells, such as a method's learning rate on one task."""

    methods: tuple[str, ...] = ("*",)
    tasks: tuple[str, ...] = ("*",)
    models: tuple[str, ...] = ("*",)
    train: TrainSettings

    def fits(self, method: str, task: str, model: str) -> bool:
        """Tell whether the labels match one of the patterns of each axis."""
        pairs = ((self.methods, method), (self.tasks, task), (self.models, model))
        return all(any(fnmatch(name, p) for p in patterns) for patterns, name in pairs)
