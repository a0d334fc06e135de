"""Families of tasks by name: a kind of task is one class; its module is imported when asked for."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

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


def _is_family(loaded: Any) -> str | None:
    from harness.tasks.families.base import Family

    fits = isinstance(loaded, type) and issubclass(loaded, Family)
    return None if fits else f"{loaded!r} is no subclass of harness.tasks.families.base.Family"


REGISTRY = Registry("family", "headroom.families", FAMILIES, _is_family)


def names() -> list[str]:
    """Return the names of all families, plug-ins' last."""
    return REGISTRY.names()


@cache
def get_family(name: str) -> Family:
    """Return the family called `name`.

    Raises:
        ValueError: there is none; the message has the nearest name.
        PluginError: a plug-in that should bring it is broken.
    """
    family: Family = REGISTRY.get(name)()
    return family
