"""The tasks by name; a task's module is imported when the task is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.tasks import families
from methods.registry import Registry
from methods.wording import nearest

if TYPE_CHECKING:
    from harness.tasks.base import Task

IMAGES = ("cifar10", "cifar100", "country211", "fashion_mnist", "food101", "oxford_flowers",
          "stanford_cars", "tiny_imagenet")  # fmt: skip
GLUE = ("cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli")

# Name -> "module:factory"; the factory is called with the name.
TASKS: dict[str, str] = {
    "acceptability": "harness.tasks.acceptability.task:AcceptabilityTask",
    **dict.fromkeys(GLUE, "harness.tasks.glue.task:GlueTask"),
    "squad": "harness.tasks.squad.task:SquadTask",
    "e2e": "harness.tasks.language.e2e:E2eTask",
    "wikitext": "harness.tasks.language.wikitext:WikitextTask",
    "instructions": "harness.tasks.language.instructions:InstructionsTask",
    "gsm8k": "harness.tasks.language.gsm8k:Gsm8kTask",
    "cnn_dailymail": "harness.tasks.language.cnn_dailymail:CnnDailymailTask",
    **dict.fromkeys(IMAGES, "harness.tasks.images.task:ImageTask"),
}


# What a task says of itself, on its class or when it is made.
FACTS = ("name", "description", "num_labels", "family", "metrics")


def _base() -> type:
    from harness.tasks.base import Task

    return Task


REGISTRY = Registry("task", "headroom.tasks", TASKS, _base, named=False)


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
        task: Task = REGISTRY.make(name, name, needs=FACTS)
    except ValueError as error:
        raise UserError(str(error)) from error
    known = families.names()
    if task.family not in known:
        who = REGISTRY.described(name)
        raise UserError(f"{who}: unknown family {task.family!r}; {nearest(task.family, known)}")
    return task
