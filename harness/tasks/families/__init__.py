"""Families of tasks by name: a kind of task is one class; its module is imported when asked for."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from harness.errors import UserError
from methods.registry import Registry

if TYPE_CHECKING:
    from harness.tasks.families.base import Family

# name -> "module:class", imported when it is asked for.
FAMILIES: dict[str, str] = {
    "classification": "harness.tasks.families.classification:Classification",
    "regression": "harness.tasks.families.classification:Regression",
    "causal_lm": "harness.tasks.families.language:CausalLM",
    "seq2seq": "harness.tasks.families.language:Seq2Seq",
    "question_answering": "harness.tasks.families.question_answering:QuestionAnswering",
    "image": "harness.tasks.families.image:ImageClassification",
}


def _base() -> type:
    from harness.tasks.families.base import Family

    return Family


REGISTRY = Registry("family", "headroom.families", FAMILIES, _base, needs=["auto_class"])


def names() -> list[str]:
    """Return the names of all families, plug-ins' last."""
    return REGISTRY.names()


@cache
def get_family(name: str) -> Family:
    """Return the family called `name`.

    Raises:
        UserError: there is none (the message has the nearest name), or the plug-in that should
            bring it is broken.
    """
    try:
        family: Family = REGISTRY.make(name)
    except ValueError as error:
        raise UserError(str(error)) from error
    return family
