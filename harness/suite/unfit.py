"""Settings that mean nothing for a cell's kind of task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.tasks import get_task
from harness.tasks.families.base import FAMILY_SETTINGS

if TYPE_CHECKING:
    from harness.suite.entries import TaskEntry
    from harness.suite.settings import TrainSettings
    from harness.tasks.families.base import Family


def refuse_unfit(
    suite: str, path: str, task: TaskEntry, train: TrainSettings, family: Family
) -> None:
    """Refuse settings of a cell that mean nothing for its kind of task.

    Raises:
        UserError: naming suite, cell, key and value.
    """
    if task.shape:
        task.shape.check(f"suite {suite}, task {task.shown}")
    elif task.eval is not None and not get_task(task.name).holds_out:
        raise UserError(
            f"suite {suite}, task {task.shown}: eval {task.eval:g}: this task has a development "
            "set of its own"
        )
    for key in FAMILY_SETTINGS:
        value = getattr(train, key)
        if value is None or (key in family.settings and not task.shape):
            continue
        reason = (
            f"means nothing for the family {family.name}; set it for the other tasks only (rules)"
        )
        if task.shape:
            reason = "a bare shape has no rows to encode"
            if key == "max_target_length":
                reason += "; shape.target_length says it"
        raise UserError(f"suite {suite}, {path}: train.{key} = {value!r}: {reason}")
    if train.label_smoothing and not family.smooths:
        raise UserError(
            f"suite {suite}, {path}: train.label_smoothing = {train.label_smoothing:g}: a "
            f"{family.name} has no label smoothing; set it for the other tasks only (rules)"
        )
