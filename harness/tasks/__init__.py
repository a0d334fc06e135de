"""The tasks by name; a task's module is imported when the task is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from harness.errors import UserError
from methods.wording import nearest

if TYPE_CHECKING:
    from harness.tasks.base import Task

GLUE = ("cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli")

# Name -> "module:factory"; the factory is called with the name.
TASKS: dict[str, str] = {
    "acceptability": "harness.tasks.acceptability.task:AcceptabilityTask",
    **dict.fromkeys(GLUE, "harness.tasks.glue.task:GlueTask"),
}


def names() -> list[str]:
    """Every task, in alphabetical order."""
    return sorted(TASKS)


def get_task(name: str) -> Task:
    """The task called `name`.

    Raises:
        UserError: if there is no such task; the message has the nearest name.
    """
    if name not in TASKS:
        raise UserError(f"unknown task {name!r}: {nearest(name, TASKS)}")
    module, factory = TASKS[name].split(":")
    task: Task = getattr(import_module(module), factory)(name)
    return task
