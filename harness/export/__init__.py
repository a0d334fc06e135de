"""What a finished run leaves to deploy: the adapter alone, or the whole model, as safetensors."""

from __future__ import annotations

from harness.export.reading import load
from harness.export.recipe import Recipe, recipe_of
from harness.export.writing import Extras, convert, write

__all__ = ["Extras", "Recipe", "convert", "load", "recipe_of", "write"]
