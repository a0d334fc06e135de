"""Every setting of every kind as a cell: one suite, whose methods are the candidates."""

from __future__ import annotations

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
from methods.wording import spelled

NAME = "fit"
# What is not the plain value, as people read it.
WORDS: dict[tuple[str, Any], str] = {
    ("gradient_checkpointing", True): "checkpointing",
    ("attention", FLASH): "flash-attn",
    ("optimizer", "adamw-8bit"): "8-bit AdamW",
    ("optimizer", "adamw-paged-8bit"): "paged 8-bit AdamW",
    ("optimizer_in_backward", True): "step in backward",
    ("loss", "chunked"): "chunked loss",
}
UNTOLD = ("clip",)  # goes with another setting
SAID = {"batch_size": "--batch", "accumulate": "--batch", "max_length": "--length"}


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
            if name not in UNTOLD and value != PLAIN[name]
        ]
        return found + ([f"{self.passes} x {self.examples}"] if self.passes > 1 else [])

    @property
    def label(self) -> str:
        """A name that no other candidate has."""
        words = [self.kind.name, self.kind.weights, *self.words]
        return "-".join(words).replace(" x ", "x").replace(" ", "-").replace(":", "-")

    def entry(self) -> dict[str, Any]:
        """Return the method as a suite's list has it."""
        settings = {name: written(value) if name == "attention" else value
                    for name, value in self.settings}  # fmt: skip
        sizes = {"batch_size": self.examples, "accumulate": self.passes}
        train = {**self.kind.train, **settings, **sizes}
        return {self.kind.method: self.kind.options, "label": self.label, "train": train}

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

    A setting that `wanted.overrides` says has this one value.

    Raises:
        UserError: an override is no setting, or its value none.
    """
    _refuse_said(wanted.overrides)
    all_of_them = [
        Candidate(kind, tuple({k: v for value in values for k, v in value.items()}.items()),
                  wanted.batch)
        for values in product(*kind.axes(wanted.family, wanted.card))
    ]  # fmt: skip
    said = {text.partition("=")[0].strip().removeprefix("train.") for text in wanted.overrides}
    if not said & set(PLAIN):
        return all_of_them
    train = cells_of(wanted, all_of_them[:1])[0].train
    pinned = {name: getattr(train, name) for name in said & set(PLAIN)}
    merged = [replace(each, settings=tuple((dict(each.settings) | pinned).items()))
              for each in all_of_them]  # fmt: skip
    return list(dict.fromkeys(merged))


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


def _refuse_said(overrides: Sequence[str]) -> None:
    for text in overrides:
        section, _, name = text.partition("=")[0].strip().partition(".")
        if section != "train" or not name:
            raise UserError(f"override {text}: fit takes training settings, such as train.clip=1")
        if name in SAID:
            raise UserError(f"override {text}: {SAID[name]} says it")
