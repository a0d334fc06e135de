"""Files of other trainers, unchanged, as suites: what a config of theirs would need.

Each importer is one file. It reads the keys that act and makes a suite's document of them; its
`KEYS` say what all other keys of the trainer come to. A key that neither knows is told.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from harness.errors import UserError
from harness.recipes.imported import Imported
from harness.recipes.keys import sort_out
from harness.recipes.recipe import Recipe, read_recipe
from methods.wording import nearest

# Trainer -> its importer: a module with `suite_of(recipe)` and `KEYS`.
IMPORTERS = {
    "axolotl": "harness.recipes.axolotl",
    "llamafactory": "harness.recipes.llamafactory",
    "torchtune": "harness.recipes.torchtune",
    "trl": "harness.recipes.trl",
    "transformers": "harness.recipes.trainer_arguments",
}


def read(trainer: str, path: Path, has_bf16: bool | None = True) -> Imported:
    """Read a trainer's file as a suite.

    Args:
        trainer: one of IMPORTERS.
        path: of its file.
        has_bf16: whether the cards compute in bf16, which some trainers then do by themselves;
            None: some do and some do not.

    Raises:
        UserError: there is no such trainer, the file cannot be read, or it asks for what cannot be
            forecast: every such key with its line, its value and the reason.
    """
    if trainer not in IMPORTERS:
        raise UserError(f"--from {trainer}: no such trainer; {nearest(trainer, IMPORTERS)}")
    return settled(trainer, read_recipe(path, has_bf16))


def settled(trainer: str, recipe: Recipe) -> Imported:
    """Return what the keys of a trainer's file come to.

    Raises:
        UserError: it asks for what cannot be forecast.
    """
    importer = import_module(IMPORTERS[trainer])
    suite = importer.suite_of(recipe)
    inert, unknown = sort_out(recipe, importer.KEYS)
    if recipe.refused:
        raise UserError("\n       ".join(recipe.refused))
    return Imported(
        trainer, recipe.source, suite, _once(recipe.assumed), _once(recipe.differs), inert, unknown
    )


def _once(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(texts))
