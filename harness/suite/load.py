"""From a suite file and overrides to a validated suite."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import methods as method_registry
from harness.errors import UserError
from harness.models.spec import SOURCES, ModelParts
from harness.plugins import load_plugins
from harness.suite.analysed import check_analyses
from harness.suite.assumed import drop_overridden, refuse_idle_assumptions
from harness.suite.document import Document, assign, split_assignment, validate
from harness.suite.entries import MethodEntry, ModelEntry, Rule, Some, TaskEntry
from harness.suite.extending import entries_of, read_suite
from harness.suite.frozen import Frozen
from harness.suite.names import Written, refuse_idle_names, refuse_unknown_rows
from harness.suite.reading import Path_
from harness.suite.settings import TrainSettings
from harness.suite.shape import Shape
from harness.suite.suite import Suite
from harness.tasks.own.data import OwnData
from methods.wording import first_finding, first_mistake, shortened


def load_suite(path: Path, overrides: Iterable[str] = (), plugins: Iterable[str] = ()) -> Suite:
    """Read, override and validate a suite; `plugins` are modules beside it, or installed ones.

    Raises:
        UserError: every mistake in it, with file, line, key, value and the nearest allowed one.
    """
    return suite_of(read_suite(path), overrides, plugins, path.parent)


def suite_of(
    document: Document,
    overrides: Iterable[str] = (),
    plugins: Iterable[str] = (),
    folder: Path = Path(),
) -> Suite:
    """Override and validate a suite that was read, or made of another file.

    Raises:
        UserError: as `load_suite`.
    """
    load_plugins(plugins, folder)
    written = Written.of(document)
    assigned = [split_assignment(text) for text in overrides]
    for key, value in assigned:
        _override(document, key, value)
    if "assumed" in document.data:
        keys = [key for key, _ in assigned]
        document.data["assumed"] = drop_overridden(document.data["assumed"], keys)
    _check_methods(document)
    check_analyses(document)
    suite = validate(Suite, document, _allowed_keys)
    refuse_idle_names(suite, document, written)
    refuse_idle_assumptions(suite, document)
    refuse_unknown_rows(suite, document, written)
    return suite


def _override(document: Document, key: str, value: Any) -> None:
    """Apply one override; some keys do what a user means rather than what a dict would."""
    if key in {"tasks", "methods"} and isinstance(value, str):
        value = [value]
    if key in {"tasks", "methods"} and isinstance(value, list):
        there = document.data.get(key)
        value = [entry for item in value for entry in _selected(there, item)]
    top, _, rest = key.partition(".")
    if top == "train" and rest:
        # What is typed last wins over the settings that single tasks or methods bring.
        grid = document.data.get("grid")
        if isinstance(grid, dict) and rest in grid:
            raise UserError(f"override {key}: the grid varies {rest}; override grid.{rest}=[...]")
        rules = document.data.setdefault("rules", [])
        if not isinstance(rules, list):
            raise UserError(
                f"{document.where(('rules',))}: rules is {shortened(rules)}, not a list"
            )
        rules.append({"train": {rest: value}})
        document.overrides["rules", len(rules) - 1, "train", rest] = key
        return
    if top == "model" and rest in SOURCES:
        # Another source replaces the file's, with the pins that belong to it.
        document.data["model"] = {}
        document.data.pop("models", None)
    assign(document, key, value)


def _selected(entries: Any, item: Any) -> list[Any]:
    """A bare name in an override selects the file's entries of that name, with their settings."""
    return [entries[number] for number in entries_of(entries, item)] or [item]


def _check_methods(document: Document) -> None:
    """Validate method names and options, which pydantic cannot see through the registry."""
    entries = document.data.get("methods")
    for index, raw in enumerate(entries if isinstance(entries, list) else []):
        try:
            entry = MethodEntry.model_validate(raw)
        except ValidationError:
            continue  # Suite's own validation words this one
        try:
            method_registry.get_method(entry.name)(**entry.options)
        except ValidationError as error:
            place = first_finding(error, entry.options)["loc"]
            method = method_registry.get_method(entry.name)
            what = first_mistake(error, entry.name, model=method, given=entry.options)
            where = document.where(("methods", index, *place))
            raise UserError(f"{where}: {what}") from None
        except ValueError as error:
            raise UserError(f"{document.where(('methods', index))}: {error}") from None


def _allowed_keys(loc: Path_) -> Iterable[str]:
    """List the keys that fit beside the unknown one at `loc`."""
    parent = [part for part in loc[:-1] if isinstance(part, str)]
    if parent[-1:] in (["train"], ["grid"]):
        return TrainSettings.model_fields
    if parent[-1:] == ["shape"]:
        return Shape.model_fields
    if parent == ["tasks", "data"]:
        return OwnData.model_fields
    if parent[:1] == ["tasks"]:
        return [*TaskEntry.model_fields, *TrainSettings.model_fields, *OwnData.model_fields]
    if parent[-1:] == ["parts"]:
        return ModelParts.model_fields
    kinds: dict[str, type[Frozen] | type[ModelEntry]] = {
        "methods": MethodEntry,
        "rules": Rule,
        "without": Some,
        "model": ModelEntry,
        "models": ModelEntry,
    }
    return kinds[parent[0]].model_fields if parent else Suite.model_fields
