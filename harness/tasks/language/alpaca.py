"""Instructions with responses: what LaMini, Alpaca and their kin have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import UserError
from harness.tasks.language.base import text_of

RESPONSE = "### Response:"
_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
)
_WITHOUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes "
    "the request.\n\n### Instruction:\n{instruction}\n\n### Response:\n"
)


def prompt_of(instruction: str, given: str = "") -> str:
    """Return the template of Stanford Alpaca, which LoRAPrune and LLM-Adapters took over."""
    template = _WITH_INPUT if given else _WITHOUT
    return template.format(instruction=instruction, input=given)


def parts_of(row: Mapping[str, Any], where: str) -> tuple[str, str, str]:
    """Return instruction, input (or nothing) and response of a row of any usual layout.

    LaMini has `response`, Alpaca `input` and `output`, its seed tasks both in `instances`.

    Raises:
        UserError: the row has another layout.
    """
    instances = row.get("instances")
    if isinstance(instances, list) and instances and isinstance(instances[0], Mapping):
        row = {**row, **instances[0]}
    given = row.get("input") or ""
    if not isinstance(given, str):
        raise UserError(f"{where}: column 'input' has no text ({given!r})")
    instruction = text_of(row, ("instruction",), where)
    return instruction, given.strip(), text_of(row, ("response", "output"), where)
