"""What several importers make in the same way of a suite."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from harness.recipes.imported import suite_name

if TYPE_CHECKING:
    from harness.recipes.recipe import Recipe

# What holds the text model of a model of images and text.
_WRAPPERS = "(?:language_model|text_model)"
# Beginnings of model types with layers that carry one example of a row on into the next, or that
# take no positions.
CARRIERS = (
    "bamba", "bloom", "falcon_h1", "falcon_mamba", "granitemoehybrid", "jamba", "kimi_linear",
    "lfm2", "mamba", "mpt", "nemotron_h", "qwen3_5", "qwen3_next", "recurrent_gemma", "rwkv",
    "zamba",
)  # fmt: skip
# What stands for an optimizer that is not here, and which way the forecast errs.
MUON = (
    "it keeps one state of a matrix; the forecast has AdamW's two, which is more by as many bytes "
    "as the matrices have"
)
# Model types whose feed-forward layer is gated by GELU, in Liger's words `geglu`.
GEGLU = ("gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n_text", "gemma4_text")


def suite(
    recipe: Recipe,
    trainer: str,
    *,
    model: dict[str, Any],
    task: dict[str, Any],
    method: Any,
    train: dict[str, Any],
) -> dict[str, Any]:
    """Return the document of a suite with one cell."""
    name = suite_name(recipe.source)
    return {
        "name": name,
        "description": f"{trainer}'s {name}, as its file says it",
        **({"model": model} if model else {}),
        "tasks": [task],
        "methods": [method],
        "train": train,
    }


def tokens(
    batch: int,
    length: int,
    padding: str,
    *,
    evaluation: bool,
    family: str = "causal_lm",
    **shape: Any,
) -> dict[str, Any]:
    """Return a task without data: `batch` rows of up to `length` tokens.

    Args:
        batch: rows of a forward pass.
        length: of the longest row.
        padding: `longest`, `max` or `packed`, as `train.padding` has them.
        evaluation: whether the model is evaluated, too.
        family: of tasks.
        shape: what else the shape says.
    """
    said = {"family": family, "batch_size": batch, "length": length, **shape}
    said |= {} if evaluation else {"evaluation": False}
    return {"shape": said, "padding": padding}


def packed(
    recipe: Recipe, kind: str, batch: int, length: int, *, evaluation: bool
) -> dict[str, Any]:
    """Return a task of rows that are full of whole examples.

    Args:
        recipe: that asks for it.
        kind: the model's type; empty where it is not known.
        batch: rows of a forward pass, which flash-attn's kernels see as one.
        length: of a row.
        evaluation: whether the model is evaluated, too.
    """
    recipe.assume("packed rows are full")
    if not kind.startswith(CARRIERS):
        return tokens(batch, length, "packed", evaluation=evaluation)
    recipe.differ(f"a {kind} does not keep the examples of a row apart as transformers runs it: "
                  "the forecast is of rows that are one example each")  # fmt: skip
    return tokens(batch, length, "max", evaluation=evaluation, mask=False)


def precision(
    weights: str, compute: str, *, autocast: bool, adapters: str = "same"
) -> dict[str, Any]:
    """Return the four settings of precision."""
    return {"weights": weights, "compute": compute, "autocast": autocast, "adapters": adapters}


def everywhere(pattern: str, *, always: bool = False) -> str:
    """Return a pattern of module names that fits a text model, too.

    A model of images and text has its layers below `language_model`; the catalogue's text part has
    them where a language model has them.

    Args:
        pattern: a regular expression; a plain name stays as it is.
        always: it is a regular expression also where it looks like a name.
    """
    if not always and not re.search(r"[\\\[\](|*+?]", pattern):
        return pattern
    pattern = re.sub(rf"(model\\?\.){_WRAPPERS}(?=\.[*+])", r"\1", pattern)
    pattern = re.sub(rf"(model\\?\.)({_WRAPPERS}\\?\.)(?![*+?])", r"\1(\2)?", pattern)
    pattern = re.sub(rf"(?<!\(){_WRAPPERS}\\?\.(?=model\\?\.)", r"(\g<0>)?", pattern)
    return pattern


def glu(model_type: str) -> str:
    """Return Liger's name of the gated feed-forward layer of a model type."""
    return "geglu" if model_type in GEGLU else "swiglu"
