"""The model that a recipe names: a folder, an entry of the catalogue or a repository."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import hub
from harness.errors import UserError
from harness.models.catalogue import CATALOGUE, quantized
from harness.models.spec import ModelSpec
from harness.paths import check_name
from methods.wording import did_you_mean

if TYPE_CHECKING:
    from harness.recipes.imported import Imported
    from harness.recipes.recipe import Recipe


def model_entry(recipe: Recipe, key: str, also: Iterable[str] = ()) -> dict[str, Any]:
    """Return the suite's entry of the model that the key names, under the recipe's own name.

    Where the catalogue has the model, it is taken: its sizes are those of the hub's config.json,
    and the forecast is the same with and without a network.

    Args:
        recipe: that names it.
        key: where.
        also: other names to look for in the catalogue, where it does not have the first.
    """
    name = recipe.word(key)
    if not name:
        return {}
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return {"path": name, "label": _label(folder.resolve().name)}
    original = _original(recipe, key, name)
    for each in (original, *also):
        config = ModelSpec(hub=each).catalogued().config
        if config is not None:
            recipe.assume(f"{name} has the sizes of the catalogue's {config}")
            return {"config": config, "label": _label(name.rstrip("/").rpartition("/")[2])}
    return {"hub": original}


def _original(recipe: Recipe, key: str, name: str) -> str:
    """Return the repository that a quantised one was made of, and any other as it is."""
    original, how = quantized(name) or (name, "")
    if how == "nf4":
        if not (recipe.flag("load_in_4bit") or recipe.has("quantization_bit")):
            recipe.refuse(key, f"its weights are {original}'s in nf4, and the file does not ask "
                               "for 4 bits; say it, or take that model")  # fmt: skip
        recipe.assume(f"{name} is {original} in bitsandbytes' nf4")
    elif how:
        recipe.refuse(key, f"its weights are {original}'s in {how}, which is not forecast; "
                           "4 bits of bitsandbytes over that model are nearest")  # fmt: skip
    return original


def model_type(entry: dict[str, Any]) -> str:
    """Return the model's type in transformers' words; empty where only the hub knows it."""
    config = entry.get("config")
    return CATALOGUE[config].model_type if config else ""


def config_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the model's config.json; none where only the hub has them."""
    return CATALOGUE[entry["config"]].config if "config" in entry else {}


def in_gib(sizes: dict[str, Any], each: int, *keys: str) -> str:
    """Return `each` bytes times these values of a config in GiB, or the product in words."""
    if all(key in sizes for key in keys):
        return f"{each * prod(sizes[key] for key in keys) / 2**30:.2f} GiB"
    return f"{' x '.join(keys)} x {each:,} bytes"


def refuse_unnamed(imported: Imported, overrides: Iterable[str]) -> None:
    """Refuse a file that names no model, and say how one is given.

    Raises:
        UserError: neither the file nor what stands behind it names one.
    """
    if "model" not in imported.suite and not any(text.startswith("model") for text in overrides):
        raise UserError(
            f"{imported.source}: it names no model; behind the file, model.config=NAME (headroom "
            "ls models), model.path=FOLDER or model.hub=ID says which"
        )


def refuse_unreachable(spec: ModelSpec, source: str) -> None:
    """Refuse a model of which nothing is here, and say how its config is given.

    Raises:
        UserError: it is of the hub, in no cache, and the hub does not answer, or has none that is
            called so.
    """
    if spec.hub is None:
        return
    if not hub.may_be_repository(spec.hub):
        raise UserError(
            f"{source}: the model {spec.hub} is no folder with a config.json here, and no name of "
            "the hub's, which are OWNER/NAME"
        )
    if _cached(spec.hub, spec.revision):
        return
    trouble = hub.trouble()
    if trouble:
        ids = [entry.source for entry in CATALOGUE.values() if entry.source]
        hint = did_you_mean(spec.hub, ids)
        raise UserError(
            f"{source}: the model {spec.hub} is not in the catalogue (headroom ls models), and "
            f"{trouble}. Behind the file, model.path=FOLDER with its config.json says what it is, "
            f"or model.config=NAME an entry of the same sizes{'. ' + hint if hint else ''}"
        )


def _cached(repository: str, revision: str | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repository, "config.json", revision=revision), str)


def _label(text: str) -> str:
    return check_name("".join(c if c.isalnum() or c in "._-" else "-" for c in text) or "model")
