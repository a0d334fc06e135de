"""Models with a head for a task: loaded, or built from their config alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

from harness.errors import UserError
from harness.models.attention import implementation, written
from harness.models.check import refuse_depth
from harness.models.config import build_config
from harness.models.files import model_folder
from harness.models.fit import Fit, load_tensors
from harness.models.library import files_read
from harness.models.tying import untie_head
from harness.models.weights import entries_of, read_json, shapes_of
from harness.tasks import families

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

    if spec.config:
        torch.manual_seed(seed)
        return build_model(spec, family, num_labels, attention, dtype, use_cache)
    fit = check_weights(spec, family, num_labels, attention, dtype, use_cache)
    files = {entry.file for entry in fit.entries.values()}
    with _quiet(), _explained(spec, family, attention), ExitStack() as opened:
        readers = {file: opened.enter_context(safe_open(file, framework="pt")) for file in files}
        tensors = {name: readers[e.file].get_slice(name) for name, e in fit.entries.items()}
        torch.manual_seed(seed)
        model, _ = load_tensors(fit.hollow, tensors, dtype)
    _state_parts(spec, model)
    fit.refuse_untied(model)
    _refuse_ruined(spec, model)
    model.name_or_path = model.config.name_or_path = str(model_folder(spec))
    trained: nn.Module = model.train()
    return trained


def check_weights(
    spec: ModelSpec,
    family: Family,
    num_labels: int,
    attention: str,
    dtype: torch.dtype,
    use_cache: bool,
) -> Fit:
    """Hold the headers of the model's weights to its config, before anything else is read.

    Raises:
        UserError: as `load_model`.
    """
    import torch
    from transformers.initialization import no_init_weights

    folder = model_folder(spec)
    entries = entries_of(folder)
    refuse_depth(str(folder / "config.json"), read_json(folder / "config.json"), len(entries))
    with torch.device("meta"), no_init_weights():
        hollow: Any = build_model(spec, family, num_labels, attention, dtype, use_cache)
    with _quiet(), _explained(spec, family, attention):
        return Fit(spec.name, hollow, entries, dtype)


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
        asked = implementation(attention)
        given = {} if asked is None else {"attn_implementation": asked}
        model: nn.Module = _auto_class(family, config).from_config(
            config, dtype=dtype, trust_remote_code=False, **given
        )
        untie_head(spec, model)
    _state_parts(spec, model)
    return model.train()


def _state_parts(spec: ModelSpec, model: nn.Module) -> None:
    """Tell the model where its parts are, if the suite does."""
    from methods import surgery
    from methods.architectures import Parts

    if spec.parts is not None:
        try:
            surgery.state_parts(model, Parts(**spec.parts.model_dump()))
        except ValueError as error:
            raise UserError(f"model {spec.name}: {error}") from None


def _auto_class(family: Family, config: Any) -> Any:
    """Return the first of the family's classes that has a head for the config, else the first."""
    classes = _auto_classes(family)
    return next((kind for kind in classes if type(config) in kind._model_mapping), classes[0])


def _auto_classes(family: Family) -> list[Any]:
    import transformers

    return [getattr(transformers, name) for name in (family.auto_class, *family.other_classes)]


def _with_head(config: Any, family: Family, num_labels: int, use_cache: bool) -> Any:
    family.set_head(config, num_labels)
    # Keys and values of past tokens are of use in generation only, and cost memory in training.
    config.use_cache = use_cache
    return config


def _refuse_ruined(spec: ModelSpec, model: nn.Module) -> None:
    """Refuse weights that are no numbers: whatever is trained from them diverges."""
    import torch

    for name, parameter in model.named_parameters():
        ends = torch.aminmax(parameter.detach()) if parameter.numel() else ()
        if not all(torch.isfinite(end) for end in ends):
            raise UserError(f"model {spec.name}: {name} has values that are not finite")


def redrawn(spec: ModelSpec, model: nn.Module) -> list[str]:
    """Say of each tensor of a head that the weights have otherwise, or in part, that it is new."""
    from methods import surgery

    if spec.config:
        return []
    head, there = surgery.head_parameters(model), shapes_of(model_folder(spec))
    if not any(name in there for name in head):
        return []  # as for every pretrained model: the whole head is new
    return [
        f"{name} {there.get(name, 'not')} in the weights, {tuple(p.shape)} here"
        for name, p in head.items()
        if there.get(name) != p.shape
    ]


@contextmanager
def _explained(spec: ModelSpec, family: Family, attention: str) -> Iterator[None]:
    """Turn what transformers refuses into one line that says which setting to change."""
    with files_read(f"model {spec.name}"):
        try:
            yield
        except (ValueError, ImportError, OSError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            if "Unrecognized configuration class" in reason:
                raise UserError(
                    f"model {spec.name} has no {family.name} head in transformers; "
                    + _heads_of(spec)
                ) from None
            if "attention" in reason or "Attention" in reason:
                raise UserError(
                    f"train.attention = {written(attention)}: model {spec.name} cannot use it: "
                    f"{reason.split('. ')[0]}; train.attention=auto takes what it has"
                ) from None
            raise UserError(f"model {spec.name}: {reason}") from None


def _heads_of(spec: ModelSpec) -> str:
    """Say for which families transformers has a head of this architecture."""
    had = families_of(build_config(spec))
    return f"it has one for {', '.join(had)}" if had else "it has one for no family here"


def families_of(config: Any) -> list[str]:
    """Return the families of tasks that transformers has a head of this architecture for."""
    return [
        name for name in families.names()
        if any(type(config) in each._model_mapping
               for each in _auto_classes(families.get_family(name)))
    ]  # fmt: skip


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
