"""Settings that mean nothing for a cell's kind of task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.suite.analysed import refuse_unfit_analyses
from harness.tasks.families.base import FAMILY_SETTINGS
from methods.wording import spelled

if TYPE_CHECKING:
    from harness.suite.cell import Cell
    from harness.suite.settings import TrainSettings
    from methods.base import Need


def refuse_unfit(cells: Sequence[Cell]) -> None:
    """Refuse settings that mean nothing for the cell's kind of task.

    Raises:
        UserError: naming suite, cell, key and value.
    """
    for cell in cells:
        refuse_unfit_analyses(cell)
        if cell.task.eval is not None and not cell.configured_task.holds_out:
            raise UserError(
                f"suite {cell.suite}, task {cell.task_label}: eval {cell.task.eval:g}: this task "
                "has a development set of its own"
            )
        for text in _wrong(cell.train):
            raise UserError(f"suite {cell.suite}, {cell.path}: train.{text}")
        _refuse_of_method(cell)
        _refuse_of_language(cell)
        for key in FAMILY_SETTINGS:
            _refuse_unused(cell, key)
        if cell.train.label_smoothing and not cell.family.smooths:
            raise UserError(
                f"suite {cell.suite}, {cell.path}: train.label_smoothing = "
                f"{cell.train.label_smoothing:g}: the family {cell.family.name} has no label "
                "smoothing; set it for the other tasks only (rules)"
            )


def _wrong(train: TrainSettings) -> list[str]:
    """Return what is wrong with settings that may have been said in several places."""
    return [*train.mistyped(), *train.idle(), *train.idle_losses(), *train.unserved(),
            *train.early()]  # fmt: skip


def _refuse_of_method(cell: Cell) -> None:
    """Refuse settings that ask of the method what it cannot have."""
    asked: dict[Need, tuple[str, bool]] = {
        "in_backward": ("optimizer_in_backward = true", cell.train.optimizer_in_backward),
        "parallel": (f"devices = {cell.train.devices}", cell.train.devices > 1),
    }
    against = cell.configured_method.obstacles()
    for need, (text, given) in asked.items():
        if given and need in against:
            raise UserError(
                f"suite {cell.suite}, {cell.path}: train.{text} does not go with method "
                f"{cell.method}: {against[need]}; set it for the other methods only (rules)"
            )


def _refuse_of_language(cell: Cell) -> None:
    """Refuse what only causal language models have: losses in pieces, packed examples."""
    asked = {"loss": cell.train.loss != "model", "padding": cell.train.padding == "packed",
             "liger_kernels": bool(cell.train.liger_kernels)}  # fmt: skip
    for key, given in asked.items():
        if given and cell.family.name != "causal_lm":
            raise UserError(
                f"suite {cell.suite}, {cell.path}: train.{key} = "
                f"{spelled(getattr(cell.train, key))} is of the family causal_lm, and this one is "
                f"{cell.family.name}; set it for the other tasks only (rules)"
            )


def _refuse_unused(cell: Cell, key: str) -> None:
    """Refuse a setting of other families, or one that a bare shape says in its own words."""
    value = getattr(cell.train, key)
    if value is None:
        return
    where = f"suite {cell.suite}, {cell.path}: train.{key} = {value!r}"
    if cell.task.shape:
        raise UserError(
            f"{where}: a bare shape has no rows to encode"
            + ("; shape.target_length says it" if key == "max_target_length" else "")
        )
    if key not in cell.family.settings:
        raise UserError(
            f"{where}: means nothing for the family {cell.family.name}; set it for the other tasks "
            "only (rules)"
        )
