"""transformers' TrainingArguments as suites."""

from __future__ import annotations

from dataclasses import fields
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from written_recipes import check_expressed, check_refused, imported, written

from harness.models.liger import SERVED
from harness.recipes.huggingface import OPTIMIZERS, OTHERS
from harness.recipes.imported import Imported
from harness.recipes.liger import liger
from harness.recipes.recipe import Recipe

RECIPES, REFUSED = written("transformers"), written("transformers", "refused")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_comes_through(name: str, tmp_path: Path) -> None:
    check_expressed("transformers", RECIPES[name], tmp_path)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_forecast_is_refused_with_its_place(name: str, tmp_path: Path) -> None:
    check_refused("transformers", REFUSED[name], tmp_path)


def test_every_argument_of_the_installed_transformers_is_known(tmp_path: Path) -> None:
    from transformers import TrainingArguments

    names = [field.name for field in fields(TrainingArguments) if field.init]
    found = imported("transformers", {name: None for name in names}, tmp_path)
    assert not found.unknown
    assert len(names) > 100


def test_every_optimizer_of_the_installed_transformers_is_said_or_refused() -> None:
    from transformers.training_args import OptimizerNames

    for name in (each.value for each in OptimizerNames):
        assert name in OPTIMIZERS or any(fnmatchcase(name, pattern) for pattern in OTHERS), name


@pytest.mark.parametrize("kind", SERVED)
def test_what_liger_replaces_by_itself_it_has(kind: str) -> None:
    asked = liger(Recipe("args.json", {"use_liger_kernel": True}, {}), kind)
    plain = {"cross_entropy"} if kind in {"granite"} else set()
    assert {*asked.get("liger_kernels", ())} - plain == SERVED[kind].kernels - {"cross_entropy"}
    assert (asked.get("loss") == "liger") == (kind not in {"granite"})


def test_what_is_said_behind_the_file_is_not_assumed() -> None:
    texts = ("the longest example has 1024 tokens (train.max_length=N says otherwise)", "other")
    found = Imported("transformers", "args.json", {}, assumed=texts)
    assert list(found.beside(["train.max_length=256"]).assumed) == ["other"]
    assert list(found.beside(["train.lr=1"]).assumed) == list(texts)
    sizes = Imported("trl", "a.yaml", {}, assumed=["x/y has the sizes of the catalogue's y"])
    assert not sizes.beside(["model.config=tiny-llama"]).assumed
