"""torchtune's recipes as suites."""

from __future__ import annotations

from pathlib import Path

import pytest
from written_recipes import check_expressed, check_refused, written

from harness.models.spec import ModelSpec
from harness.recipes.torchtune_keys import BUILDERS

WITHOUT_ENTRY = {"code_llama2_70b"}  # in no recipe of torchtune's
RECIPES, REFUSED = written("torchtune"), written("torchtune", "refused")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_through(name: str, tmp_path: Path) -> None:
    check_expressed("torchtune", RECIPES[name], tmp_path)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_forecast_is_refused_with_its_place(name: str, tmp_path: Path) -> None:
    check_refused("torchtune", REFUSED[name], tmp_path)


def test_every_builder_has_its_sizes_in_the_catalogue() -> None:
    known = {name for name, hub in BUILDERS.items() if ModelSpec(hub=hub).catalogued().config}
    assert BUILDERS.keys() - known == WITHOUT_ENTRY
