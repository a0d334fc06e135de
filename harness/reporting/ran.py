"""What was run, as the records say it: length of training, every setting, overrides, commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from harness.dtypes import PRESETS, resolved
from harness.record import Record
from harness.reporting.inline import code
from harness.suite.numerics import TYPES
from harness.suite.optimization import OWNERS
from harness.suite.optimizers import OPTIMIZERS
from harness.suite.settings import TrainSettings, renamed
from methods.wording import spelled

# Values of settings that did nothing: there is nothing to say of them.
OFF = (None, False)
MOST = 60  # tasks, methods or cells that a note names
# What a setting may depend on, the simplest first.
LABELS: tuple[tuple[str, Callable[[Record], str]], ...] = (
    ("task", lambda record: record.task),
    ("method", lambda record: record.method),
    ("model", lambda record: record.model),
    ("task and method", lambda record: f"{record.task} {record.method}"),
    ("cell", lambda record: record.path),
)


def what_ran(records: Sequence[Record]) -> list[str]:
    """Return the notes that say what these records are of."""
    trained = [record for record in records if record.steps is not None]
    lengths = f"Training: {_by_what(trained, _length)}." if trained else "Training: nothing."
    return [lengths, *_settings(records), *_overrides(records), *_invocations(records)]


def options(records: Sequence[Record]) -> list[str]:
    """Return every option of each method, also those that are at their defaults."""
    told: dict[str, None] = {}
    for record in records:
        own = record.cell["method_options"].items()
        named = ", ".join(f"{name} {value}" for name, value in own if value not in OFF)
        told[f"{record.cell['method_label']}: {named or 'none'}"] = None
    return list(told)


def overridden(records: Sequence[Record]) -> bool | None:
    """Tell whether the command line changed the suite's file; None: not recorded."""
    asked = [record.invocation for record in records]
    known = [bool(each.overrides) for each in asked if each is not None]
    return True if any(known) else None if len(known) < len(asked) else False


def changed_description(text: str, changed: bool | None, where: str = "") -> str:
    """Return a suite's description as what its file says; of a changed suite that is another one.

    `where` says where a reader finds the overrides.
    """
    why = f"Overrides changed it{where}." if changed else "What was overridden is not recorded."
    return f"The suite's file says: {text} {why}"


def _length(record: Record) -> str:
    train = record.cell["train"]
    seen = "share not recorded," if record.epochs is None else f"{record.epochs:.3g}"
    cut = ", cut by max_steps" if train.get("max_steps") else ""
    return f"{record.steps:,} steps, {seen} of {train['epochs']} epochs{cut}"


def _settings(records: Sequence[Record]) -> list[str]:
    """Name every training setting with its values: those of all cells, then those that differ."""
    trains = [_acting(record) for record in records]
    same: list[str] = []
    differ: list[str] = []
    for name in dict.fromkeys(name for train in trains for name in train):
        values = {_value(train, name) for train in trains}
        if len(values) > 1:
            differ.append(f"{name} {_by_what(records, partial(_value_of, name=name))}")
        elif trains[0].get(name) not in OFF:
            same.append(f"{name} {values.pop()}")
    return [
        f"Settings: {', '.join(same)}.",
        *([f"Settings that differ: {'; '.join(differ)}."] if differ else []),
    ]


def _value_of(record: Record, name: str) -> str:
    return _value(_acting(record), name)


def _acting(record: Record) -> dict[str, Any]:
    """Return the settings with what was not written down, because it is the default."""
    train = renamed(record.cell["train"])
    train["eval_batch_size"] = train.get("eval_batch_size") or train["batch_size"]
    types: dict[str, Any] = {name: train.get(name) for name in TYPES}
    if types["precision"] in PRESETS:  # of a later version it may be unknown
        train["precision"] = str(resolved(**types))
    train = {name: value for name, value in train.items() if name not in TYPES[1:]}
    kind = OPTIMIZERS.get(train["optimizer"])  # of a later version it may be unknown
    for name in kind.own_settings if kind else ():
        train.setdefault(name, TrainSettings.model_fields[name].default)
    return train


def _value(train: Mapping[str, Any], name: str) -> str:
    if name not in train and name in OWNERS:
        return "none"
    # A default that was not written down is known where other records say another value.
    field = TrainSettings.model_fields.get(name)
    value = train.get(name, field.default if field else None)
    if isinstance(value, (list, tuple)):
        return "/".join(f"{part:g}" for part in value)
    return spelled(value)


def _overrides(records: Sequence[Record]) -> list[str]:
    """Name every setting that the command line changed, with the cells that it is of."""
    asked = [record for record in records if record.invocation is not None]
    if not any(record.invocation and record.invocation.overrides for record in asked):
        return []
    return [f"Other than in the suite's file: {_by_what(asked, _changed)}."]


def _changed(record: Record) -> str:
    overrides = record.invocation.overrides if record.invocation else []
    return " ".join(map(code, overrides)) or "nothing"


def _invocations(records: Sequence[Record]) -> list[str]:
    """Say which command lines the records come from."""
    asked = [record.invocation.command if record.invocation else None for record in records]
    commands = [code(each) if each else "not recorded" for each in dict.fromkeys(asked)]
    return [f"Command: {', then '.join(commands)}."]


def _by_what(records: Sequence[Record], read: Callable[[Record], str]) -> str:
    """Return the values of all records, each with whose it is where there are several.

    Who is named by task, else by method, model or both: the first that tells the values apart.
    """
    values = list(dict.fromkeys(map(read, records)))
    if len(values) == 1:
        return values[0]
    for _, label in LABELS:
        owners: dict[str, set[str]] = {}
        for record in records:
            owners.setdefault(label(record), set()).add(read(record))
        if all(len(found) == 1 for found in owners.values()):
            break
    named = {v: [owner for owner, found in owners.items() if v in found] for v in values}
    return ", ".join(f"{value} ({_listed(who)})" for value, who in named.items())


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more
