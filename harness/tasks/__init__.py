"""The tasks by name; a task's module is imported when the task is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from methods.registry import Registry

if TYPE_CHECKING:
    from harness.tasks.base import Task

GLUE = ("cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli")

# Name -> "module:factory"; the factory is called with the name.
TASKS: dict[str, str] = {
    "acceptability": "harness.tasks.acceptability.task:AcceptabilityTask",
    **dict.fromkeys(GLUE, "harness.tasks.glue.task:GlueTask"),
}


def _is_task(loaded: Any) -> str | None:
    from harness.tasks.base import Task

    fits = isinstance(loaded, type) and issubclass(loaded, Task)
    return None if fits else f"{loaded!r} is no subclass of harness.tasks.base.Task"


REGISTRY = Registry("task", "headroom.tasks", TASKS, _is_task)


def names() -> list[str]:
    """Every task, in alphabetical order."""
    return sorted(REGISTRY.names())


def get_task(name: str) -> Task:
    """The task called `name`.

    Raises:
        UserError: if there is no such task (the message has the nearest name), or the plug-in
            that should bring it is broken.
    """
    try:
        task: Task = REGISTRY.get(name)(name)
    except ValueError as error:
        raise UserError(str(error)) from error
    return task
