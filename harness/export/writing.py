"""Write an export: a folder with a state and weights.

`state.json` and `tensors.safetensors` hold the base model's name, the method and what it did to the
model's structure: masks, choices. The weights are one of

- peft's own folder, `adapter_config.json` and `adapter_model.safetensors`, of one of peft's tuners;
- `adapter.safetensors`: every tensor that trained, and all others that the base model with the
  method attached does not have by itself, for `load` alone;
- `model.safetensors` with `config.json`: the finished model, for transformers' `from_pretrained`;
- `finished.safetensors`: a finished model with other shapes or more modules than its config says,
  for `load` alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import durable
from harness.export.as_lora import write_lora
from harness.export.peft_folder import CONFIG, Trained, tried, write_peft
from harness.export.reading import ADAPTER, MODEL, OWN_MODEL, load, read_export
from harness.export.recipe import FORMAT, Recipe, base_of, named_tensors, rebuilt
from harness.sums import write_sums
from harness.training.saved import Saved, read_state, save_tensors, write_state
from methods import surgery

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.record import ExportKind, ExportReader
    from methods.base import Handle
    from methods.common.tuner import TunerHandle


@dataclass(frozen=True)
class Written:
    """What was written: its size, which library reads it, and why no more common one."""

    num_bytes: int
    reader: ExportReader
    reason: str | None = None


@dataclass(frozen=True)
class Extras:
    """What goes beside the weights: tokenizer or image processor, and the names of the classes."""

    preparer: Any = None
    label_names: Sequence[str] = ()


def write(
    folder: Path,
    kind: ExportKind,
    recipe: Recipe,
    handle: Handle,
    trained: Collection[str],
    base: Callable[[], nn.Module] | None = None,
    extras: Extras = Extras(),
) -> Written:
    """Write the export in place of an older one of its kind.

    The handle's model is finished by this when the whole model is written.

    Args:
        folder: of this export alone.
        kind: what to write.
        recipe: of the model.
        handle: of the method, after training and compaction.
        trained: names of all tensors that trained at any time, as the model calls them.
        base: returns a fresh base model with its weights; None: the recipe's.
        extras: what goes beside the weights.
    """
    from methods.common.tuner import TunerHandle

    fresh = base or (lambda: base_of(recipe, with_weights=True))
    state: Saved = {
        "format": FORMAT, "kind": kind, "recipe": vars(recipe), "state": handle.state_dict(),
        "merges": merges(handle), "labels": list(extras.label_names),
    }  # fmt: skip
    reader: ExportReader = "harness.export"
    reason = None
    with durable.new_folder(folder) as new:
        write_state(new, state)
        if kind == "model":
            reader = _write_model(new, handle.finish(handle.model), extras)
        elif isinstance(handle, TunerHandle):
            reader, reason = _write_tuner(new, handle, trained, _source(recipe), fresh)
        if kind == "adapter" and reader != "peft":
            stored = read_state(new)["state"]  # as `load` will find it, off the device
            _write_adapter(new, handle, trained, rebuilt(recipe, fresh(), stored))
        if extras.preparer is not None:
            extras.preparer.save_pretrained(new)
        write_sums(new)
    return Written(_size(folder), reader, reason)


def merges(handle: Handle) -> bool:
    """Tell whether peft's adapters can be folded into the base weights: not into packed ones."""
    return getattr(handle, "merges", False) and not surgery.quantized_names(handle.model)


def convert(adapter: Path, folder: Path, base: nn.Module | None = None) -> Written:
    """Write the whole model of an adapter's export, which stays as it is; nothing is trained.

    Raises:
        UserError: as `load`.
    """
    content = read_export(adapter)
    with durable.new_folder(folder) as new:
        write_state(new, {**content, "kind": "model"})
        model = load(adapter, base)
        reader = _write_model(new, model, Extras(label_names=content.get("labels", ())))
        for file in filter(_is_preparers, adapter.iterdir()):
            shutil.copy(file, new / file.name)
        write_sums(new)
    return Written(_size(folder), reader)


def _is_preparers(file: Path) -> bool:
    mine = {"state.json", CONFIG}
    return file.suffix in {".json", ".txt", ".model", ".jinja"} and file.name not in mine


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _source(recipe: Recipe) -> str:
    return str(next((recipe.model[k] for k in ("hub", "path", "package", "config")
                     if recipe.model.get(k)), ""))  # fmt: skip


def _write_tuner(
    folder: Path,
    handle: TunerHandle,
    trained: Collection[str],
    source: str,
    base: Callable[[], nn.Module],
) -> tuple[ExportReader, str | None]:
    """Write peft's folder if plain peft reads it right: of the type itself, or of a plain LoRA."""
    ours = Trained(handle.peft, trained, source, base)
    ranks = "its ranks are a result of training" if handle.state_dict() else None
    own = ranks or tried(folder, write_peft, ours)
    if own is None:
        return "peft", None
    other = tried(folder, write_lora, ours)
    if other is None:
        return "peft", f"written as a plain LoRA: {own}"
    return "harness.export", f"{own}; {other}"


def _write_adapter(folder: Path, handle: Handle, trained: Collection[str], fresh: Handle) -> None:
    """Write what makes the trained model of the base model with the method attached.

    Beside what trained: whatever attaching changed or drew otherwise (an initialisation that takes
    its part out of the base weights), and what was merged on the way.
    """
    there, ours = named_tensors(fresh.model), named_tensors(handle.model)
    stored = {id(tensor) for tensor in handle.buffers.values()}
    save_tensors(
        {
            name: tensor
            for name, tensor in ours.items()
            if name in trained or id(tensor) in stored or not _same(tensor, there.get(name))
        },
        folder / ADAPTER,
    )


def _same(ours: Tensor, fresh: Tensor | None) -> bool:
    if fresh is None or ours.shape != fresh.shape:
        return False
    return bool((ours.detach().to(fresh.device) == fresh).all())


def _write_model(folder: Path, model: Any, extras: Extras) -> ExportReader:
    """Write a finished model; returns who reads it."""
    tensors = _distinct(model.state_dict())
    if not _is_plain(model):
        save_tensors(tensors, folder / OWN_MODEL)
        return "harness.export"
    config = model.config
    config.architectures = [type(model).__name__]
    if extras.label_names:
        config.id2label = dict(enumerate(extras.label_names))
        config.label2id = {name: index for index, name in enumerate(extras.label_names)}
    config.save_pretrained(folder)
    save_tensors(tensors, folder / MODEL)
    return "transformers"


def _is_plain(model: Any) -> bool:
    """Tell whether a model of the same config has the same tensors: transformers then reads it.

    It would leave out what it does not know, and say so in a warning at most.
    """
    import torch
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        return False
    with torch.device("meta"):
        plain: Any = type(model)._from_config(model.config)
    shapes = ({n: t.shape for n, t in m.state_dict().items()} for m in (model, plain))
    return next(shapes) == next(shapes)


def _distinct(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out names whose tensor has another name already (tied weights)."""
    seen: set[tuple[Any, ...]] = set()
    kept = {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() == 0 or place not in seen:
            kept[name] = tensor
        seen.add(place)
    return kept
