"""An adapter as peft's own folder, where plain peft makes the same model of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Trained:
    """What is to be written.

    Attributes:
        peft: the trained model.
        names: of all tensors that trained, as the model in peft calls them.
        source: of the base model, as the config names it.
        base: returns a fresh base model, which peft edits.
    """

    peft: PeftModel
    names: Collection[str]
    source: str
    base: Callable[[], nn.Module]


def tried(folder: Path, write: Callable[[Path, Trained], str | None], ours: Trained) -> str | None:
    """Write peft's two files, load them with peft, and compare.

    Args:
        folder: exists.
        write: does it; returns None, or why plain peft would load another model.
        ours: the trained model.

    Returns:
        What `write` does, or what went wrong in it; the folder then holds nothing of it.
    """
    try:
        reason = write(folder, ours)
    except Exception as error:  # whatever a type of peft cannot build, write or read of its own
        reason = f"{type(error).__name__}: {error}"
    if reason is not None:
        for name in (CONFIG, WEIGHTS):
            (folder / name).unlink(missing_ok=True)
    return reason


def write_peft(folder: Path, ours: Trained) -> str | None:
    """Write the adapter as its own type of peft, for `tried`."""
    from peft import PeftModel, get_peft_model_state_dict

    peft = ours.peft
    weights = get_peft_model_state_dict(peft, save_embedding_layers=False)
    write_files(folder, copy.deepcopy(peft.peft_config["default"]), weights, ours)
    fresh = ours.base()
    reason = changed(named_tensors(peft), named_tensors(fresh), ours.names)
    return reason or _difference(peft, PeftModel.from_pretrained(fresh, folder))


def write_files(
    folder: Path, config: PeftConfig, weights: Mapping[str, Tensor], ours: Trained
) -> None:
    """Write the two files; peft loads the head as modules of its own."""
    options: Any = config
    head = head_of(ours.peft, ours.names)
    options.modules_to_save = (
        sorted({*(options.modules_to_save or ()), *_modules(ours.peft, head)}) or None
    )
    options.base_model_name_or_path, options.inference_mode = ours.source, True
    options.save_pretrained(folder)
    save_tensors({**weights, **head}, folder / WEIGHTS)


def head_of(peft: PeftModel, trained: Collection[str]) -> dict[str, Tensor]:
    """Return what trained outside of the adapters: head, and the pooler if it did."""
    ends, homes = tuple(f".{name}" for name in trained), tuple(f"{n}." for n in _homes(peft))
    return {
        name: tensor.detach()
        for name, tensor in _tensors(peft).items()
        if name.startswith(homes) and f".{name}".endswith(ends)
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


def _homes(peft: PeftModel) -> set[str]:
    """Return the full names of the modules that are head or pooler."""
    from methods import surgery

    poolers = (name.split(".") for name in surgery.pooler_parameters(peft))
    ends = ((parts, parts.index("pooler") + 1) for parts in poolers if "pooler" in parts)
    return {*surgery.head_names(peft), *(".".join(parts[:end]) for parts, end in ends)}


def _modules(peft: PeftModel, head: Collection[str]) -> set[str]:
    """Return the modules that peft shall load whole: `classifier` of `...classifier.dense.bias`."""
    homes = {home for home in _homes(peft) if any(n.startswith(f"{home}.") for n in head)}
    return {home.rpartition(".")[2] for home in homes}


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
