"""An adapter as peft's own folder, where plain peft makes the same model of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.export.recipe import named_tensors
from harness.training.saved import save_tensors

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from torch import Tensor, nn

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# peft's own copy of the head, in the place of the head, which it keeps.
_COPY, _KEPT = ".modules_to_save.default", ".original_module."


def write_peft(
    folder: Path,
    peft: PeftModel,
    trained: Collection[str],
    source: str,
    base: Callable[[], nn.Module],
) -> str | None:
    """Write config and weights; then load them with peft, and compare.

    Args:
        folder: exists.
        peft: the trained model.
        trained: names of all tensors that trained, as the model in peft calls them.
        source: of the base model, as the config names it.
        base: returns a fresh base model, which peft edits.

    Returns:
        None, or why plain peft would load another model; the folder then holds nothing of it.
    """
    from peft import PeftModel, get_peft_model_state_dict

    try:
        weights = get_peft_model_state_dict(peft, save_embedding_layers=False)
        config = copy.deepcopy(peft.peft_config["default"])
        write_files(folder, config, weights, head_of(peft, trained), source)
        fresh = base()
        reason = changed(named_tensors(peft), named_tensors(fresh), trained)
        if reason is None:
            reason = _difference(peft, PeftModel.from_pretrained(fresh, folder))
    except Exception as error:  # whatever a type of peft cannot write or read of its own
        reason = f"{type(error).__name__}: {error}"
    if reason is not None:
        remove(folder)
    return reason


def write_files(
    folder: Path,
    config: PeftConfig,
    weights: Mapping[str, Tensor],
    head: Mapping[str, Tensor],
    source: str,
) -> None:
    """Write the two files; peft loads the head as modules of its own."""
    options: Any = config
    options.modules_to_save = sorted({*(options.modules_to_save or ()), *_modules(head)}) or None
    options.base_model_name_or_path, options.inference_mode = source, True
    options.save_pretrained(folder)
    save_tensors({**weights, **head}, folder / WEIGHTS)


def remove(folder: Path) -> None:
    """Take the two files out."""
    for name in (CONFIG, WEIGHTS):
        (folder / name).unlink(missing_ok=True)


def head_of(peft: PeftModel, trained: Collection[str]) -> dict[str, Tensor]:
    """Return what trained outside of the adapters: head, and the pooler if it did."""
    from methods.architectures import HEADS

    ends = tuple(f".{name}" for name in trained)
    return {
        name: tensor.detach()
        for name, tensor in _tensors(peft).items()
        if {*HEADS, "pooler"} & set(name.split(".")) and f".{name}".endswith(ends)
    }


def changed(
    ours: Mapping[str, Tensor], base: Mapping[str, Tensor], trained: Collection[str]
) -> str | None:
    """Return the first base tensor that is not as it was: peft would have to change it again."""
    for name, tensor in ours.items():
        inner = name.removeprefix("base_model.").removeprefix("model.")
        plain = inner.replace(".base_layer", "")
        frozen = not {name, inner} & set(trained)
        if plain in base and frozen and not same(tensor, base[plain]):
            return f"attaching the method changed {plain} of the base model"
    return None


def same(ours: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors are equal, up to the dtype that peft loads the second one in."""
    here = ours.detach().to(other.device, other.dtype)
    return here.shape == other.shape and bool((here == other).all())


def _modules(head: Collection[str]) -> set[str]:
    """Return the modules that peft shall load whole: `classifier` of `...classifier.dense.bias`."""
    from methods.architectures import HEADS

    parts = (name.split(".") for name in head)
    return {next(part for part in name if part in (*HEADS, "pooler")) for name in parts}


def _difference(trained: PeftModel, loaded: PeftModel) -> str | None:
    """Return the first tensor that is another one."""
    ours, theirs = _tensors(trained), _tensors(loaded)
    if trained.peft_config["default"].is_prompt_learning:
        # The encoder of a prompt is there in training only; peft loads the prompt in its place.
        ours["prompt"] = trained.get_prompt_embedding_to_save("default")
        theirs["prompt"] = loaded.prompt_encoder["default"].embedding.weight
    for name in sorted(ours.keys() ^ theirs.keys()):
        return f"{name} is only in the {'trained' if name in ours else 'loaded'} model"
    for name, tensor in ours.items():
        if not same(tensor, theirs[name]):
            return f"{name} is another tensor"
    return None


def _tensors(peft: PeftModel) -> dict[str, Tensor]:
    """Return what a model computes with, by the names of one that peft did not load."""
    return {
        name.replace(_COPY, ""): tensor
        for name, tensor in named_tensors(peft).items()
        if _KEPT not in name and not name.startswith("prompt_encoder.")
    }
