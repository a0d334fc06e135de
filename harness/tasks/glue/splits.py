"""The split protocols: what is trained on, selected on and reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.errors import UserError
from harness.tasks.base import Example, Protocol

# How the SAFE protocol finds a validation set, task by task.
Rule = Literal["halves", "held-out", "mismatched"]

# Seed and order of the Compacter/SoRA recipe: one permutation, its first part is the validation.
PERMUTATION_SEED = 42
HELD_OUT_ROWS = 1000


@dataclass(frozen=True)
class Parts:
    """A task's rows as they come: `mismatched` is MNLI's second development set."""

    train: list[Example]
    dev: list[Example]
    mismatched: list[Example] | None = None


@dataclass(frozen=True)
class Split:
    """A protocol's answer: the fields are those of `TaskData`."""

    train: list[Example]
    evaluations: dict[str, list[Example]]
    select_on: str
    report_on: tuple[str, ...]


def split(parts: Parts, protocol: Protocol, rule: Rule) -> Split:
    """Split by one protocol.

    `aflora` and `plain`: the whole development set, to select on and to report. `safe`: a
    validation set made by the task's rule, and a test set that it does not touch.

    Raises:
        UserError: if there are too few rows to split.
    """
    if protocol == "safe":
        return _SAFE[rule](parts)
    evaluations = {"validation": parts.dev}
    if parts.mismatched is not None:
        evaluations["validation_mismatched"] = parts.mismatched
    return Split(parts.train, evaluations, "validation", tuple(evaluations))


def permutation(count: int) -> list[int]:
    """The recipe's permutation of `count` rows."""
    import torch

    generator = torch.Generator().manual_seed(PERMUTATION_SEED)
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order


def _halves(parts: Parts) -> Split:
    """Validation is the first half of the permuted development set, test the other half."""
    dev, middle = parts.dev, len(parts.dev) // 2
    if not middle:
        raise UserError(f"protocol safe halves the development set, which has {len(dev)} row")
    order = permutation(len(dev))
    return _validated(parts.train, _take(dev, order[:middle]), _take(dev, order[middle:]))


def _held_out(parts: Parts) -> Split:
    """Validation is 1,000 training rows; what is left to train on keeps its order."""
    if len(parts.train) <= HELD_OUT_ROWS:
        raise UserError(
            f"protocol safe holds out {HELD_OUT_ROWS:,} training rows as validation, "
            f"but there are only {len(parts.train):,}"
        )
    order = permutation(len(parts.train))
    train = _take(parts.train, sorted(order[HELD_OUT_ROWS:]))
    return _validated(train, _take(parts.train, order[:HELD_OUT_ROWS]), parts.dev)


def _mismatched(parts: Parts) -> Split:
    """Validation is the mismatched set, test the matched one."""
    if parts.mismatched is None:
        raise UserError("protocol safe needs the mismatched development set as validation")
    return _validated(parts.train, parts.mismatched, parts.dev)


def _validated(train: list[Example], validation: list[Example], test: list[Example]) -> Split:
    return Split(train, {"validation": validation, "test": test}, "validation", ("test",))


def _take(rows: Sequence[Example], order: Sequence[int]) -> list[Example]:
    return [rows[index] for index in order]


_SAFE = {"halves": _halves, "held-out": _held_out, "mismatched": _mismatched}
