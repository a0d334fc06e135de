"""Kinds of own data by name: a kind is one class, in a file of its own, and one line here."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

# Name -> "module:class" of a Kind, imported when it is asked for.
KINDS: dict[str, str] = {
    "classification": "harness.tasks.own.one_label:OwnClassification",
    "regression": "harness.tasks.own.one_label:OwnRegression",
    "question_answering": "harness.tasks.own.question_answering:OwnQuestionAnswering",
    "causal_lm": "harness.tasks.own.language:OwnCausalLM",
    "seq2seq": "harness.tasks.own.language:OwnSeq2Seq",
    "image": "harness.tasks.own.images:OwnImages",
}


@cache
def get_kind(name: str) -> Any:
    """Return the `Kind` of this name, one of KINDS."""
    module, _, attribute = KINDS[name].partition(":")
    return getattr(import_module(module), attribute)()
