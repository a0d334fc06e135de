"""Whatever stands at a key that an importer reads: a suite, or an error that names the file."""

from __future__ import annotations

import copy
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.recipes import IMPORTERS, settled
from harness.recipes.recipe import Recipe, read_recipe
from harness.suite.load import suite_of

DATA = Path(__file__).resolve().parents[1] / "data" / "recipes"
ODD: tuple[Any, ...] = (-1, 0, 3, 1e30, 0.5, True, "x", "q_proj, v_proj", "(", [], [1], ["x"], {},
                        {"a": 1}, [[]], [{}], float("inf"))  # fmt: skip


def bases() -> list[tuple[str, Path]]:
    """A config with an adapter of each trainer that has files here."""
    found = []
    for trainer in IMPORTERS:
        files = sorted((DATA / trainer).glob("*.y*ml"))
        found += [(trainer, file) for file in files if file.stem == "lora"]
    return found


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


@pytest.mark.parametrize(("trainer", "file"), bases(), ids=lambda part: getattr(part, "stem", part))
def test_no_value_breaks_an_importer(trainer: str, file: Path) -> None:
    importer = import_module(IMPORTERS[trainer])
    first = read_recipe(file)
    importer.suite_of(first)
    data = dict(first.leaves(()))
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
