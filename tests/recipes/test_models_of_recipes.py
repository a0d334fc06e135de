"""The model that a recipe names: copies, and repositories of quantised weights."""

from __future__ import annotations

from typing import Any

from harness.recipes.models import model_entry
from harness.recipes.recipe import Recipe


def named(model: str, **said: Any) -> tuple[Recipe, dict[str, Any]]:
    recipe = Recipe("a.yml", {"base_model": model, **said})
    return recipe, model_entry(recipe, "base_model")


def test_a_mirror_is_what_it_copies() -> None:
    recipe, entry = named("NousResearch/Llama-2-7b-hf")
    assert entry == {"config": "llama-2-7b", "label": "Llama-2-7b-hf"}
    assert not recipe.refused


def test_four_bits_of_bitsandbytes_are_those_of_their_original() -> None:
    recipe, entry = named("unsloth/Qwen3-4B-bnb-4bit", load_in_4bit=True)
    assert entry == {"config": "qwen3-4b", "label": "Qwen3-4B-bnb-4bit"}
    assert "unsloth/Qwen3-4B-bnb-4bit is unsloth/Qwen3-4B in bitsandbytes' nf4" in recipe.assumed
    assert not recipe.refused


def test_four_bits_that_the_file_does_not_ask_for_are_refused() -> None:
    recipe, _ = named("unsloth/Qwen3-4B-bnb-4bit")
    assert "does not ask for 4 bits" in recipe.refused[0]


def test_other_quantised_weights_are_refused_by_their_name() -> None:
    recipe, _ = named("TheBloke/Llama-2-7B-GPTQ", load_in_4bit=True)
    assert "its weights are meta-llama/Llama-2-7b-hf's in gptq" in recipe.refused[0]
