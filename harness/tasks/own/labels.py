"""Labels of any spelling as classes with numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from harness.tasks.glue.rows import NUMBER

SIGNED = re.compile(rf"[-+]?({NUMBER.pattern})")


def spelled(value: Any) -> str | None:
    """Return how a label is written, the same in every kind of file; None: it is no label.

    Text stays as it is, spaces and capitals included; numbers and truth values of JSON and Parquet
    are written as JSON has them. Nothing, an empty text and what has parts are no labels.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value or None
    if isinstance(value, int | float) and math.isfinite(value):
        return repr(value)
    return None


def is_number(label: str) -> bool:
    """Tell whether a label is a decimal number: what else Python reads as one (`1_0`) is a word."""
    return SIGNED.fullmatch(label.strip()) is not None and math.isfinite(float(label))


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct labels in the order of their class numbers.

    Where all are numbers, by value; else by the code points of their characters: capitals before
    small letters. It depends on nothing but the labels.
    """
    distinct = set(labels)
    if all(map(is_number, distinct)):
        return tuple(sorted(distinct, key=lambda each: (float(each), each)))
    return tuple(sorted(distinct))
