"""An export of any kind as a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.export.peft_folder import CONFIG
from harness.export.recipe import FORMAT, Recipe, base_of, hold_head, named_tensors, rebuilt
from harness.training.saved import Saved, read_state
from harness.untrusted import WRONG, said
from methods import surgery

if TYPE_CHECKING:
    from torch import Tensor, nn

ADAPTER = "adapter.safetensors"
# A model of the config's shapes is called as transformers looks for it, any other is not.
MODEL, OWN_MODEL = "model.safetensors", "finished.safetensors"


def load(folder: Path, base: nn.Module | None = None, *, merge: bool = True) -> nn.Module:
    """Return the deployed model of an export, in eval mode.

    Args:
        folder: an export.
        base: the base model that an `adapter` goes onto; None loads the one that the recipe names.
        merge: fold peft's adapters into the weights, where their type can be.

    Raises:
        UserError: the folder holds no export of this format, or it does not fit the base model.
    """
    from safetensors.torch import load_file

    content = read_export(folder)
    recipe, kind = Recipe(**content["recipe"]), content["kind"]
    model = base if base is not None else base_of(recipe, with_weights=kind == "adapter")
    if (folder / CONFIG).is_file():
        return _with_peft(folder, content, model, merge).eval()
    handle = rebuilt(recipe, model, content["state"])
    if kind == "adapter":
        _restore(handle.model, load_file(folder / ADAPTER), folder)
    handle.evaluating(on=True)
    # A quantised base takes no adapter in.
    whole = surgery.quantized_names(handle.model)
    finished = handle.model if whole else handle.finish(handle.model)
    if kind == "model":
        file = next(f for f in (folder / OWN_MODEL, folder / MODEL) if f.is_file())
        _restore(finished, load_file(file), folder)
    return finished.eval()


def read_export(folder: Path) -> Saved:
    """Return what an export says of itself.

    Raises:
        UserError: the folder holds none of this format.
    """
    from safetensors import SafetensorError

    try:
        content = read_state(folder)
        if not isinstance(content, dict):
            raise TypeError("no mapping of keys to values")
    except (*WRONG, SafetensorError) as error:
        raise UserError(f"{folder} holds no export: {said(error)}") from None
    if content.get("format") != FORMAT:
        raise UserError(f"{folder}: format {content.get('format')}, this code reads {FORMAT}")
    return content


def _with_peft(folder: Path, content: Saved, base: nn.Module, merge: bool) -> nn.Module:
    """Let peft read its folder."""
    from peft import PeftModel

    from methods.common.tuner import name_the_cache_as_peft_does

    hold_head(Recipe(**content["recipe"]), base)
    model: Any = PeftModel.from_pretrained(base, folder)
    if model.peft_config["default"].is_prompt_learning:
        name_the_cache_as_peft_does(model)
    if not (merge and content["merges"]):
        unmerged: nn.Module = model
        return unmerged
    _put_heads_in_place(model)
    try:
        merged: nn.Module = model.merge_and_unload()
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"{folder}: {error} (load(folder, merge=False) leaves the adapters beside the weights)"
        ) from None
    return merged


def _put_heads_in_place(model: nn.Module) -> None:
    """Put loaded heads where peft's wrappers are: VeRA's merging wants a wrapped head's weight."""
    from peft.utils import ModulesToSaveWrapper

    for name, module in list(model.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            home, _, key = name.rpartition(".")
            setattr(model.get_submodule(home), key, module.modules_to_save["default"])


def _restore(model: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Give the model's tensors the values of the file, each of which must fit."""
    import torch

    named = named_tensors(model)
    with torch.no_grad():
        for name, value in tensors.items():
            if name not in named or named[name].shape != value.shape:
                fault = f"has shape {tuple(named[name].shape)}" if name in named else "is not there"
                raise UserError(f"{folder}: {name} {tuple(value.shape)} {fault} in the base model")
            named[name].copy_(value)
