"""A suite and the cells it expands to."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from itertools import product
from math import prod
from operator import not_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator

from harness.errors import UserError
from harness.paths import check_name
from harness.suite.analysed import Analyses
from harness.suite.cell import Cell
from harness.suite.entries import MethodEntry, ModelEntry, Rule, Some, TaskEntry
from harness.suite.frozen import Frozen
from harness.suite.grid import Grid
from harness.suite.reproduces import Reproduces
from harness.suite.settings import TrainSettings
from harness.suite.unfit import refuse_unfit
from harness.tasks.base import Protocol
from methods import get_method
from methods.wording import first_mistake

if TYPE_CHECKING:
    pass

Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what all generators of random numbers take
MOST_CELLS = 100_000


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
    without: tuple[Some, ...] = Field((), description="cells to leave out", exclude_if=not_)
    protocol: Protocol = "plain"
    data_root: str | None = Field(None, description="folder of local data sets; null: the hub")
    baseline: str | None = Field(None, description="method that times are relative to")
    published: Reproduces = Field(
        default_factory=dict,
        description="published tables that this suite reproduces: its rows -> labels of methods",
        exclude_if=not_,
    )
    analyses: Analyses = Field(
        default_factory=dict, description="what else is asked of every run", exclude_if=not_
    )
    assumed: dict[str, str] = Field(
        default_factory=dict,
        description="places of values that the source does not give, such as train.clip: why",
    )

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
            UserError: none is left, two have one path, or settings do not go together.
        """
        for each in self.tasks:
            if each.shape:  # before `bare` takes from it what became a setting
                each.shape.check(f"suite {self.name}, task {each.shown}")
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
            if any(some.fits(label, task.shown, model.name) for some in self.without):
                continue
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
                    analyses=self.analyses,
                )
            )
        if not cells:
            raise UserError(f"suite {self.name}: without leaves out every cell")
        _refuse_twins(cells)
        refuse_unfit(cells)
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
        layers = [each.train.given() for each in (self, model, task, method)]
        layers += [rule.train.given() for rule in self.rules
                   if rule.fits(label, task.shown, model.name)]  # fmt: skip
        merged: dict[str, Any] = {}
        for layer in layers:
            merged |= layer
        if task.shape and "packed" in (layer.get("padding") for layer in layers):
            merged["padding"] = "packed"  # a shape's own padding is no more than its default
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
