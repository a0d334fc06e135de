"""The entries of a suite's lists, in the short and the long spelling."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, PositiveInt, ValidationError, model_validator

from harness import tasks
from harness.models.spec import ModelSpec
from harness.paths import check_name, user_path
from harness.suite.frozen import Frozen
from harness.suite.settings import OLD_OUTPUTS, TrainSettings
from harness.suite.shape import Shape
from harness.tasks.own.data import OwnData
from harness.tasks.own.task import OwnTask
from methods import get_method
from methods.wording import nearest

if TYPE_CHECKING:
    from harness.tasks.base import Task

Label = Annotated[str, AfterValidator(check_name)]
SHAPE = "shape"  # the name of a task without data
# What is said of a task's data.
DATA_KEYS = ("data", "folder", "revision", "train_rows", "evaluation_rows", "text_column",
             "pair_column", "label_column", "eval")  # fmt: skip


class MethodEntry(Frozen):
    """`lora`, or `{lora: {r: 8}, label: ..., train: {...}}` in a suite's list of methods."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    label: Label | None = None
    train: TrainSettings = TrainSettings()

    @property
    def shown(self) -> str:
        """Name in paths and tables."""
        return self.label or get_method(self.name)(**self.options).label

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
        options = data[names[0]]
        return {"name": names[0], "options": {} if options is None else options, **rest}


class TaskEntry(Frozen):
    """`rte`, or `{name: rte, epochs: 20, train_rows: 1000}`; training settings may stand flat.

    `{shape: {family: causal_lm, batch_size: 4, length: 650}}` is a task without data, to forecast;
    `{name: mine, kind: classification, path: train.csv, eval: 0.1}` one with a user's own data,
    whose keys may stand flat, too: `label` is then a column.
    """

    name: str
    data: OwnData | None = Field(
        None, description="own data", exclude_if=lambda value: value is None
    )
    shape: Shape | None = None
    label: Label | None = None
    folder: str | None = Field(None, description="this task's own data folder")
    revision: str | None = Field(None, description="data set revision on the hub")
    train_rows: PositiveInt | None = Field(None, description="a seeded sample of the rows")
    evaluation_rows: PositiveInt | None = None
    text_column: str | None = Field(None, description="column name where the files differ")
    pair_column: str | None = None
    label_column: str | None = None
    eval: float | None = Field(
        None, gt=0, lt=1, description="share held out to evaluate on, of data in one part",
        exclude_if=lambda value: value is None,
    )  # fmt: skip
    train: TrainSettings = TrainSettings()

    @property
    def shown(self) -> str:
        """Name in paths and tables."""
        return self.label or self.name

    @model_validator(mode="after")
    def _known(self) -> TaskEntry:
        if self.shape is not None:
            self._refuse_data()
        elif self.data is not None:
            self._check_own(self.data)
        elif self.name not in tasks.names():
            raise ValueError(f"unknown task {self.name!r}; {nearest(self.name, tasks.names())}")
        return self

    def _check_own(self, data: OwnData) -> None:
        """Refuse what is said of tasks that are known, and a name that one of them has."""
        check_name(self.name)
        if self.name in {*tasks.names(), SHAPE}:
            raise ValueError(f"name {self.name!r} is a known task's; give own data another one")
        for key in ("folder", "text_column", "pair_column", "label_column"):
            if getattr(self, key) is not None:
                own = "path" if key == "folder" else key.removesuffix("_column")
                raise ValueError(f"{key} is of known tasks; own data has {own}")
        if self.eval is not None:
            raise ValueError(f"eval {self.eval:g} beside data, whose eval it is; put it there")
        if self.revision is not None and data.config is None:
            raise ValueError(
                f"revision {self.revision!r} is of a data set of the hub, which has its config "
                "beside the path; config: default where it has none"
            )

    def _refuse_data(self) -> None:
        """Refuse what only data could heed."""
        if self.name != SHAPE:
            raise ValueError(f"name {self.name!r} beside a shape, which has no data; give a label")
        for key in DATA_KEYS:
            value = getattr(self, key)
            if value is not None:
                raise ValueError(f"{key} {value!r} beside a shape, which has no data")

    @model_validator(mode="before")
    @classmethod
    def _unfold(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"name": data}
        if not isinstance(data, dict):
            return data
        if "kind" in data or "path" in data:
            said = {key: value for key, value in data.items() if key in OwnData.model_fields}
            data = {key: value for key, value in data.items() if key not in said} | {"data": said}
        settings = {*TrainSettings.model_fields, OLD_OUTPUTS}
        flat = {key: value for key, value in data.items() if key in settings}
        rest = {key: value for key, value in data.items() if key not in flat}
        if "shape" in data:
            rest = {"name": SHAPE, **rest}
            try:
                shape = Shape.model_validate(data["shape"])
            except ValidationError:
                return rest  # the field's own validation words this one
            flat = {**shape.settings(), **flat}
            rest |= {"label": data.get("label", shape.label), "shape": shape}
        own = rest.get("train", {})
        if not flat or not isinstance(own, dict):  # no mapping: the field's own validation says so
            return rest
        return {**rest, "train": {**flat, **own}}

    def configured(self, data_root: str | None) -> Task:
        """Return the task that has this name, or these data; not for a bare shape."""
        if self.data is None:
            return tasks.get_task(self.name)
        root = None if data_root is None else user_path(data_root)
        return OwnTask(self.name, self.data, root, self.revision)

    def bare(self) -> TaskEntry:
        """Return the task without its settings, which a cell holds merged with all others."""
        shape = self.shape
        if shape is not None:
            shape = shape.model_copy(update={"batch_size": None, "length": None})
        return self.model_copy(update={"train": TrainSettings(), "shape": shape})


class ModelEntry(ModelSpec):
    """A model and the training settings that go with it."""

    train: TrainSettings = TrainSettings()

    @property
    def spec(self) -> ModelSpec:
        """The model without the settings."""
        return ModelSpec(**self.model_dump(exclude={"train"}))


class Some(Frozen):
    """Some of the cells, by patterns of their labels."""

    methods: tuple[str, ...] = ("*",)
    tasks: tuple[str, ...] = ("*",)
    models: tuple[str, ...] = ("*",)

    def fits(self, method: str, task: str, model: str) -> bool:
        """Tell whether the labels match one of the patterns of each axis."""
        pairs = ((self.methods, method), (self.tasks, task), (self.models, model))
        return all(any(fnmatch(name, p) for p in patterns) for patterns, name in pairs)


class Rule(Some):
    """Training settings for some of the cells, such as a method's learning rate on one task."""

    train: TrainSettings
