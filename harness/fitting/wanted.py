"""What is asked: which model, on which card, with how many examples of how many tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import hub, tasks
from harness.errors import UserError
from harness.fitting.kinds import Kind
from harness.forecasting.cards import Card
from harness.models.catalogue import CATALOGUE, find
from harness.models.spec import ModelSpec
from harness.paths import path_part
from harness.tasks import families
from methods.wording import did_you_mean


@dataclass(frozen=True)
class Model:
    """A model, as it is forecast and as a run would load it.

    Attributes:
        name: as people call it.
        forecast: the suite's entry that needs no network where the catalogue has the model.
        run: the entry with weights, where they are known.
    """

    name: str
    forecast: dict[str, Any]
    run: dict[str, Any]

    @property
    def spec(self) -> ModelSpec:
        """Where the forecast's model comes from."""
        return ModelSpec(**self.forecast)


@dataclass(frozen=True)
class Wanted:
    """One question.

    Attributes:
        model: that is trained.
        task: a family of tasks, or one task whose examples are padded to `length`.
        length: tokens of an example.
        batch: examples of an optimizer step.
        card: to train on.
        kinds: that are compared.
        overrides: `key=value` that hold for all of them.
        own_task: of a trainer's file, as its suite has it.
        notes: what else has to be said of the question.
    """

    model: Model
    task: str
    length: int
    batch: int
    card: Card
    kinds: Sequence[Kind]
    overrides: Sequence[str] = ()
    own_task: dict[str, Any] | None = None
    notes: Sequence[str] = ()

    @property
    def family(self) -> str:
        """The family of the task."""
        return self.task if self.task in families.names() else tasks.get_task(self.task).family

    @property
    def has_length(self) -> bool:
        """Whether its examples have tokens."""
        return "length" in families.get_family(self.family).shape_keys

    @property
    def size(self) -> str:
        """An optimizer step in words."""
        if not self.has_length:
            return f"{self.batch} a step"
        return f"{self.batch} x {self.length:,} tokens a step"

    @property
    def said(self) -> list[str]:
        """The settings that overrides name."""
        return [text.partition("=")[0].strip().removeprefix("train.") for text in self.overrides]

    def task_entry(self) -> dict[str, Any]:
        """Return the task as a suite says it."""
        if self.own_task is not None:
            shape = {**self.own_task["shape"], "batch_size": self.batch, "length": self.length}
            return {**self.own_task, "shape": shape}
        if self.task not in families.names():
            sizes = {"padding": "max", "max_length": self.length, "batch_size": self.batch}
            return {"name": self.task, **sizes}
        shape = {"family": self.task, "batch_size": self.batch}
        return {"shape": {**shape, **({"length": self.length} if self.has_length else {})}}


def model_of(text: str) -> Model:
    """Return the model that a folder, a name of the catalogue or of the hub is.

    Raises:
        UserError: it is none of them.
    """
    folder = Path(text).expanduser()
    if (folder / "config.json").is_file():
        entry = {"path": text, "label": _label(folder.resolve().name)}
        return Model(entry["label"], entry, entry)
    if folder.is_dir():
        raise UserError(f"MODEL {text}: a folder without config.json is no model")
    if not hub.may_be_repository(text):
        raise UserError(f"MODEL {text}: no such folder or file{_near(folder.name)}")
    if text in CATALOGUE:
        source = CATALOGUE[text].source
        return Model(text, {"config": text}, _hub(source) if source else {"config": text})
    config = find(text)
    name = text.rstrip("/").rpartition("/")[2]
    if config is not None:
        return Model(name, {"config": config, "label": _label(name)}, _hub(text))
    if "/" not in text:
        raise UserError(
            f"MODEL {text}: neither a folder, nor a model of the hub, nor one of the catalogue"
            f"{_near(text)}"
        )
    return Model(name, _hub(text), _hub(text))


def _near(text: str) -> str:
    hint = did_you_mean(text, CATALOGUE)
    return f"; {hint + ' ' if hint else ''}(headroom ls models lists the catalogue)"


def _hub(name: str) -> dict[str, Any]:
    return {"hub": name}


def _label(text: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in path_part(text)) or "model"
