"""trl' files as suites."""

from __future__ import annotations

from pathlib import Path

import pytest
from written_recipes import check_expressed, check_refused, written

RECIPES, REFUSED = written("trl"), written("trl", "refused")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_through(name: str, tmp_path: Path) -> None:
    check_expressed("trl", RECIPES[name], tmp_path)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_forecast_is_refused_with_its_place(name: str, tmp_path: Path) -> None:
    check_refused("trl", REFUSED[name], tmp_path)
