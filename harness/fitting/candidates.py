"""Every setting of every kind as a cell: one suite, whose methods are the candidates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from harness.errors import UserError
from harness.fitting.kinds import PLAIN, Kind
from harness.fitting.wanted import Wanted
from harness.models.attention import FLASH, written
from harness.suite.cell import Cell
from harness.suite.document import Document
from harness.suite.load import suite_of
from harness.suite.optimization import OWNERS
from harness.suite.optimizers import OPTIMIZERS
from methods.wording import spelled

NAME = "fit"
# Values as people read them, where they are not what the kind has plainly.
WORDS: dict[tuple[str, Any], str] = {
    ("gradient_checkpointing", True): "checkpointing",
    ("gradient_checkpointing", False): "no checkpointing",
    ("attention", FLASH): "flash-attn",
    ("optimizer", "adamw-8bit"): "8-bit AdamW",
    ("optimizer", "adamw-paged-8bit"): "paged 8-bit AdamW",
    ("optimizer_in_backward", True): "step in backward",
    ("loss", "chunked"): "chunked loss",
}
UNTOLD = ("clip",)  # goes with another setting
SAID = {"batch_size": "--batch", "accumulate": "--batch", "max_length": "--length"}


def as_typed(text: str) -> str:
    """Return an error with the options of `headroom fit` in the place of a suite's settings."""
    for name, option in SAID.items():
        text = text.replace(f"train.{name}=", f"{option} ")
    return text


@dataclass(frozen=True)
class Candidate:
    """A kind with settings.

    Attributes:
        kind: what is compared.
        settings: those that are searched, as a suite's `train` has them.
        examples: of a forward pass.
        passes: of an optimizer step.
    """

    kind: Kind
    settings: tuple[tuple[str, Any], ...]
    examples: int
    passes: int = 1

    @property
    def words(self) -> list[str]:
        """What is not plain about it, as people read it."""
        found = [
            WORDS.get((name, value)) or f"{name} {spelled(value)}"
            for name, value in self.settings
            if name not in UNTOLD and value != self.kind.plain[name]
        ]
        split = self.passes != self.kind.passes
        return found + ([f"{self.passes} x {self.examples}"] if split else [])

    @property
    def label(self) -> str:
        """A name that no other candidate has."""
        words = [self.kind.name, self.kind.weights, *self.words]
        return re.sub(r"[^\w.-]+", "-", "-".join(words))

    def entry(self) -> dict[str, Any]:
        """Return the method as a suite's list has it."""
        settings = {name: written(value) if name == "attention" else value
                    for name, value in self.settings}  # fmt: skip
        sizes = {"batch_size": self.examples, "accumulate": self.passes}
        # What is a setting's own default would be another's that it does not go with.
        settings = {k: v for k, v in settings.items() if v != PLAIN[k] or k == "optimizer"}
        acting = OPTIMIZERS[dict(self.settings)["optimizer"]].own_settings
        kept = {k: v for k, v in self.kind.train.items() if k not in OWNERS or k in acting}
        train = {**kept, **settings, **sizes}
        return {self.kind.method: self.kind.options, "label": self.label, "train": train}

    @property
    def group(self) -> tuple[Any, ...]:
        """Its optimizer and when that steps: what it needs at rest."""
        settings = dict(self.settings)
        return settings["optimizer"], settings["optimizer_in_backward"]

    @property
    def pages(self) -> bool:
        """Whether states are moved to the card and back, which no forecast times."""
        return OPTIMIZERS[dict(self.settings)["optimizer"]].paged

    def only_attends(self, other: Candidate) -> bool:
        """Tell whether it is the other one but for the attention's kernel."""
        mine, theirs = dict(self.settings), dict(other.settings)
        return {**mine, "attention": None} == {**theirs, "attention": None}

    def in_passes(self, passes: int) -> Candidate | None:
        """Return it with the step's examples in so many passes; None: it sums up no gradients."""
        if passes > 1 and dict(self.settings).get("optimizer_in_backward"):
            return None
        return replace(self, examples=self.examples * self.passes // passes, passes=passes)

    def differs_once(self, other: Candidate) -> bool:
        """Tell whether one change makes it of the other: of a setting, or of the passes."""
        mine, theirs = dict(self.settings), dict(other.settings)
        changed = {name for name in mine | theirs if mine.get(name) != theirs.get(name)}
        if "optimizer_in_backward" in changed:  # which the optimizer and the clipping go with
            changed -= {"optimizer", "clip"}
        return len(changed) + (self.passes != other.passes) == 1


def candidates_of(kind: Kind, wanted: Wanted) -> list[Candidate]:
    """Return every combination of a kind's settings, one pass a step, the plainest first.

    A setting that `wanted.overrides` says has this one value. What a suite would refuse, such as a
    step in backward under a scaler, is left out.

    Raises:
        UserError: an override is no setting, or its value none, or it leaves no plain candidate.
    """
    _refuse_said(wanted.overrides)
    combined = [
        Candidate(kind, tuple({**kind.plain, **_merged(values)}.items()), wanted.batch)
        for values in product(*kind.axes(wanted.family, wanted.card))
    ]
    pinned = set(wanted.said) & set(PLAIN)
    if pinned:
        train = cells_of(wanted, combined[:1])[0].train
        values = {name: getattr(train, name) for name in pinned}
        combined = list(dict.fromkeys(
            replace(each, settings=tuple((dict(each.settings) | values).items()))
            for each in combined
        ))  # fmt: skip
    cells = cells_or_refusals(wanted, combined)
    if isinstance(cells[0], UserError):
        raise cells[0]
    return [one for one, cell in zip(combined, cells, strict=True) if isinstance(cell, Cell)]


def _merged(values: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for each in values for name, value in each.items()}


def document_of(
    wanted: Wanted, candidates: Sequence[Candidate], *, to_run: bool = False
) -> dict[str, Any]:
    """Return the suite of the candidates, as its YAML would say it."""
    return {
        "name": NAME,
        "model": wanted.model.run if to_run else wanted.model.forecast,
        "tasks": [wanted.task_entry()],
        "methods": [candidate.entry() for candidate in candidates],
    }


def cells_of(wanted: Wanted, candidates: Sequence[Candidate]) -> list[Cell]:
    """Return a cell per candidate.

    Raises:
        UserError: what holds for all of them is no setting.
    """
    document = Document("headroom fit", document_of(wanted, candidates))
    cells = suite_of(document, wanted.overrides).cells()
    by_label = {cell.method_label: cell for cell in cells}
    return [by_label[candidate.label] for candidate in candidates]


def cells_or_refusals(wanted: Wanted, candidates: Sequence[Candidate]) -> list[Cell | UserError]:
    """Return a cell per candidate, or why there cannot be one; one does not end the others."""
    try:
        return [*cells_of(wanted, candidates)]
    except UserError as error:
        if len(candidates) == 1:
            return [error]
        return [cell for one in candidates for cell in cells_or_refusals(wanted, [one])]


def _refuse_said(overrides: Sequence[str]) -> None:
    for text in overrides:
        section, _, name = text.partition("=")[0].strip().partition(".")
        if section != "train" or not name:
            raise UserError(f"override {text}: fit takes training settings, such as train.clip=1")
        if name == "devices":
            raise UserError(f"override {text}: fit is of one card; forecast takes it in a suite")
        if name in SAID:
            raise UserError(f"override {text}: {SAID[name]} says it")
