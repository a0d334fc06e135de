"""Rows of a GLUE table, wherever it comes from: which column is what, what a label means."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.errors import UserError
from harness.tasks.base import DataRequest
from harness.tasks.glue.splits import Parts
from harness.tasks.glue.table import GlueSpec
from methods.wording import nearest

MAX_SCORE = 5.0
# Of what Python takes for a number: no 1_0, no digits of other scripts.
NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True)
class Rows:
    """Rows as read, before any split."""

    parts: Parts
    source: str
    notes: tuple[str, ...] = ()


class Columns(NamedTuple):
    """The column of each role, by name."""

    text: str
    pair: str | None
    label: str


def find_columns(
    spec: GlueSpec, request: DataRequest, header: Sequence[str], where: str
) -> Columns:
    """The columns that the request names, else those the task knows.

    Raises:
        UserError: if one is not in the header; the message starts with `where`.
    """
    if request.pair_column is not None and not spec.pair:
        raise UserError(f"pair_column {request.pair_column!r}: task {spec.name} has no second text")
    pair = _column("pair_column", request.pair_column, spec.pair, header, where)
    return Columns(
        text=_column("text_column", request.text_column, spec.text, header, where),
        pair=pair if spec.pair else None,
        label=_column("label_column", request.label_column, spec.label, header, where),
    )


def label_of(spec: GlueSpec, value: str, where: str) -> int | float:
    """A class name, a class number in the order of nyu-mll/glue, or a score from 0 to 5.

    Raises:
        UserError: for anything else; the message starts with `where`.
    """
    if not spec.labels:
        return _score(value, where)
    if value in spec.labels:
        return spec.labels.index(value)
    numbers = [str(index) for index in range(len(spec.labels))]
    if value in numbers:
        return int(value)
    raise UserError(f"{where}: unknown label {value!r}: {nearest(value, (*spec.labels, *numbers))}")


def _column(
    key: str, given: str | None, names: Sequence[str], header: Sequence[str], where: str
) -> str:
    """The column of one role; an unused role (no name given, none known) is an empty string."""
    if given is not None:
        if given in header:
            return given
        raise UserError(f"{where}: {key} {given!r} is not in the header: {nearest(given, header)}")
    for name in names:
        if name in header:
            return name
    if not names:
        return ""
    choices = " or ".join(repr(name) for name in names)
    raise UserError(f"{where}: no column {choices} (there are: {', '.join(header)}); set {key}")


def _score(value: str, where: str) -> float:
    score = float(value) if NUMBER.fullmatch(value.strip()) else math.nan
    if not 0.0 <= score <= MAX_SCORE:
        raise UserError(f"{where}: {value!r} is not a score from 0 to {MAX_SCORE:g}")
    return score
