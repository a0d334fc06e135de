"""Models with a head for a task: loaded, or built from their config alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.models.config import build_config
from harness.models.files import model_folder
from harness.models.weights import shapes_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.models.spec import ModelSpec
    from harness.tasks.families.base import Family


def load_model(
    spec: ModelSpec,
    *,
    family: Family,
    num_labels: int,
    attention: str,
    dtype: torch.dtype,
    seed: int,
    use_cache: bool = False,
) -> nn.Module:
    """Load the model with a head for the task, in training mode.

    Weights that the source lacks (the head; all of a config-only model) are drawn after
    `torch.manual_seed(seed)`, so they are the same for every method.

    Raises:
        UserError: the source cannot be reached, its weights are not the pinned ones or not for
            this architecture, or the model has no such head or attention implementation.
    """
    import torch

    torch.manual_seed(seed)
    if spec.config:
        return build_model(spec, family, num_labels, attention, dtype, use_cache)
    folder = model_folder(spec)
    config = _with_head(build_config(spec), family, num_labels, use_cache)
    with _quiet(), _explained(spec, family, attention):
        model, facts = _auto_class(family).from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # of a head for other classes, and of nothing else
        )
    _refuse_missing(spec, model, facts["missing_keys"])
    _refuse_mismatched(spec, model, facts["mismatched_keys"])
    trained: nn.Module = model.train()
    return trained


def build_model(
    spec: ModelSpec,
    family: Family,
    num_labels: int,
    attention: str,
    dtype: torch.dtype,
    use_cache: bool,
) -> nn.Module:
    """Build the model from its config, on whatever device and mode torch is set to.

    Raises:
        UserError: as `load_model`.
    """
    config = _with_head(build_config(spec), family, num_labels, use_cache)
    with _explained(spec, family, attention):
        model: nn.Module = _auto_class(family).from_config(
            config, attn_implementation=attention, dtype=dtype, trust_remote_code=False
        )
    return model.train()


def _auto_class(family: Family) -> Any:
    import transformers

    return getattr(transformers, family.auto_class)


def _with_head(config: Any, family: Family, num_labels: int, use_cache: bool) -> Any:
    family.set_head(config, num_labels)
    # Keys and values of past tokens are of use in generation only, and cost memory in training.
    config.use_cache = use_cache
    return config


def _refuse_missing(spec: ModelSpec, model: nn.Module, missing: Iterable[str]) -> None:
    """Only a head, or a pooler in front of one, may be absent from the weights."""
    from methods import surgery

    new = surgery.head_parameters(model) | surgery.pooler_parameters(model)
    lost = sorted(set(missing) - set(new))
    if lost:
        raise UserError(
            f"model {spec.name}: its weights lack {len(lost)} tensors of a "
            f"{type(model).__name__}, such as {lost[0]}: they belong to another architecture"
        )


def _refuse_mismatched(spec: ModelSpec, model: nn.Module, mismatched: Iterable[Any]) -> None:
    """Only a head may have another size in the weights; it is drawn anew (`redrawn` names it)."""
    from methods import surgery

    head = surgery.head_parameters(model)
    wrong = sorted(entry for entry in mismatched if entry[0] not in head)
    if wrong:
        name, there, here = wrong[0]
        raise UserError(
            f"model {spec.name}: {name} is {tuple(there)} in its weights and {tuple(here)} by its "
            f"config ({len(wrong)} tensors differ): they belong to different models"
        )


def redrawn(spec: ModelSpec, model: nn.Module) -> list[str]:
    """Say of each tensor of the head that the weights have in another size that it is new."""
    from methods import surgery

    if spec.config:
        return []
    there = shapes_of(model_folder(spec))
    return [
        f"{name} {there[name]} in the weights, {tuple(p.shape)} here"
        for name, p in surgery.head_parameters(model).items()
        if there.get(name, p.shape) != p.shape
    ]


@contextmanager
def _explained(spec: ModelSpec, family: Family, attention: str) -> Iterator[None]:
    """Turn what transformers refuses into one line that says which setting to change."""
    try:
        yield
    except (ValueError, ImportError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        if "Unrecognized configuration class" in reason:
            raise UserError(
                f"model {spec.name} has no {family.name} head in transformers"
            ) from None
        if "attention" in reason or "Attention" in reason:
            raise UserError(
                f"train.attention = {attention}: model {spec.name} cannot use it: "
                f"{reason.split('. ')[0]}; train.attention=eager always works"
            ) from None
        raise UserError(f"model {spec.name}: {reason}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from warning that the head is new: it is meant to be."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
