"""Trainers' files written for the tests, and what each of them comes to (`tests/data/recipes`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from harness.errors import UserError
from harness.recipes import read
from harness.recipes.imported import Imported
from harness.suite.load import suite_of

FOLDER = Path(__file__).parents[1] / "data" / "recipes"
SAID = ("suite", "assumed", "differs", "unknown", "reason")


class Written(NamedTuple):
    """One file: what stands in it, and what is expected of it."""

    config: dict[str, Any]
    expected: dict[str, Any]


def written(trainer: str, part: str = "recipes") -> dict[str, Written]:
    """Return the files of a part by name, each with what all of them share."""
    document = yaml.safe_load((FOLDER / f"{trainer}.yaml").read_text(encoding="utf-8"))
    return {
        name: Written(
            _over(document["common"], {k: v for k, v in entry.items() if k not in SAID}),
            {k: v for k, v in entry.items() if k in SAID},
        )
        for name, entry in document[part].items()
    }


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another; a component of another name takes over nothing."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(value, dict) and isinstance(old, dict)
        merged[key] = _over(old, value) if both and "_component_" not in value else value
    return merged


def imported(trainer: str, config: dict[str, Any], folder: Path) -> Imported:
    """Write the file and read it."""
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return read(trainer, path)


def check_expressed(trainer: str, one: Written, folder: Path) -> Imported:
    """Check that the file comes through, with the settings and sentences that are expected."""
    found = imported(trainer, one.config, folder)
    expected = one.expected
    for place, value in expected["suite"].items():
        assert _at(found.suite, place) == value, place
    for kind in ("assumed", "differs", "unknown"):
        texts = list(getattr(found, kind))
        for part in expected.get(kind, []):
            assert any(part in text for text in texts), (kind, part, texts)
    assert len(found.differs) >= len(expected.get("differs", []))
    if "differs" not in expected:
        assert not found.differs
    if "unknown" not in expected:
        assert not found.unknown
    named = "model" in found.suite
    (cell,) = suite_of(found.document(), () if named else ["model.config=tiny-llama"]).cells()
    assert cell.train.dtypes.obstacle() is None
    return found


def check_refused(trainer: str, one: Written, folder: Path) -> None:
    """Check that the file is refused, with its place and for the reasons that are expected."""
    with pytest.raises(UserError) as error:
        imported(trainer, one.config, folder)
    for part in (*one.expected["reason"], "recipe.yaml"):
        assert part in str(error.value)


def _at(suite: Any, place: str) -> Any:
    found = suite
    for part in place.split("."):
        if isinstance(found, dict) and part not in found:
            return "absent"
        found = found[int(part)] if isinstance(found, list) else found[part]
    return found
