"""What a cell was asked to do, as a budget file has it: enough to name what changed in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

Scalar = str | int | float

# Who it is stands in its path; where data lies and how it is kept, is of no account.
UNSAID = frozenset({
    "suite", "seed", "method_label", "axes", "data_root", "model.label", "task.label",
})  # fmt: skip
NONE = "-"  # a setting that one side has at its default


def settings_of(cell: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the settings of a cell that are not at their defaults, flat, by dotted name.

    Args:
        cell: as it is dumped: a suite's, or that of a record. A method's options stand below the
            method's name, as a suite's file has them.
    """
    content = {name: value for name, value in cell.items() if name != "method_options"}
    content[str(cell.get("method"))] = cell.get("method_options") or {}
    task = content.get("task")
    if isinstance(task, Mapping):  # its own training settings are among the cell's
        content["task"] = {name: value for name, value in task.items() if name != "train"}
    plain = _defaults()
    found = dict(_flat(content))
    return {name: found[name] for name in sorted(found, key=_order)
            if name not in UNSAID and found[name] != plain.get(name)}  # fmt: skip


def changes(before: Mapping[str, Scalar], after: Mapping[str, Scalar]) -> list[str]:
    """Say every setting that differs, such as `train.batch_size 32 -> 64`."""
    told = []
    plain = _defaults()
    for name in dict.fromkeys((*before, *after)):
        old, new = (side.get(name, plain.get(name, NONE)) for side in (before, after))
        if str(old) != str(new):
            told.append(f"{name} {old} -> {new}")
    return told


def _order(name: str) -> tuple[int, str]:
    first = name.partition(".")[0]
    known = ("model", "task", "protocol", "method", "train")
    return (known.index(first) if first in known else 3, name)


@cache
def _defaults() -> dict[str, Scalar]:
    from harness.suite.settings import TrainSettings

    return dict(_flat({"train": TrainSettings().model_dump(mode="json")}))


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Scalar]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(inner, f"{prefix}{name}.")
        elif isinstance(inner, bool):
            yield f"{prefix}{name}", str(inner).lower()
        elif isinstance(inner, (str, int, float)):
            yield f"{prefix}{name}", inner
        elif inner:  # nothing and an empty list are what is not there
            yield f"{prefix}{name}", ", ".join(map(str, inner))
