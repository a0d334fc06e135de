"""Whatever stands at a key that an importer reads: a suite, or an error that names the file."""

from __future__ import annotations

import copy
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from written_recipes import written

from harness.errors import UserError
from harness.recipes import IMPORTERS, settled
from harness.recipes.recipe import Recipe, read_recipe
from harness.suite.load import suite_of

DATA = Path(__file__).resolve().parents[1] / "data" / "recipes"
ODD: tuple[Any, ...] = (-1, 0, 3, 1e30, 0.5, True, "x", "q_proj, v_proj", "(", [], [1], ["x"], {},
                        {"a": 1}, [[]], [{}], float("inf"))  # fmt: skip


def bases() -> list[tuple[str, dict[str, Any]]]:
    """A config with an adapter of each trainer, or as near to it as there is."""
    files = [(name, DATA / name / "lora") for name in IMPORTERS]
    found = [
        (name, dict(read_recipe(file.with_suffix(end)).leaves(())))
        for name, file in files
        for end in (".yml", ".yaml")
        if file.with_suffix(end).is_file()
    ]
    ours = {"torchtune": "qlora-by-a-switch", "trl": "qlora", "transformers": "liger-of-gemma"}
    return [*found, *((name, written(name)[which].config) for name, which in ours.items())]


def put(data: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return a copy with the value at the dotted key."""
    changed = copy.deepcopy(data)
    inside = changed
    *parents, last = key.split(".")
    for parent in parents:
        if not isinstance(inside.get(parent), dict):
            inside[parent] = {}
        inside = inside[parent]
    inside[last] = value
    return changed


@pytest.mark.parametrize(("trainer", "data"), bases(), ids=[name for name, _ in bases()])
def test_no_value_breaks_an_importer(trainer: str, data: dict[str, Any]) -> None:
    importer = import_module(IMPORTERS[trainer])
    first = Recipe("file", data)
    importer.suite_of(first)
    assert len(first.asked) > 15
    errors = [
        outcome(trainer, put(data, key, value)) for key in sorted(first.asked) for value in ODD
    ]
    assert None in errors
    assert any(errors)
    assert not [error for error in errors if error is not None and "file" not in error]


def outcome(trainer: str, data: dict[str, Any]) -> str | None:
    """Return the error of a suite that cannot be made of the data."""
    try:
        suite_of(settled(trainer, Recipe("file", data)).document()).cells()
    except UserError as error:
        return str(error)
    return None
