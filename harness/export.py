"""What a finished run leaves to deploy: the adapter alone, or the whole model, as safetensors.

A folder with `state.json` and `tensors.safetensors` (base model, method, and what it did to the
model's structure: masks, choices) and one file of weights:

- `adapter`: `adapter.safetensors`, every tensor that trained, and the frozen ones that the method
  added (shared projections); it goes onto the same base model;
- `model`: `model.safetensors` and `config.json`, the model as the method finishes it: merged, and
  without the heads, channels and ranks that were taken out. transformers' `from_pretrained` reads
  it where no shape differs from the config's; `load` reads all.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import durable
from harness.errors import UserError
from harness.record import ExportKind
from harness.training.saved import read_state, save_tensors, write_state

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.suite.suite import Cell
    from methods.base import Handle, Plan

FORMAT = 1


@dataclass(frozen=True)
class Recipe:
    """How to build what was trained, up to its weights.

    Attributes:
        model: fields of the ModelSpec.
        head: `family`, `num_labels`, `attention` of `harness.models.load.load_model`.
        precision: of the cell.
        method: registered name.
        options: of the method.
        plan: fields of the Plan that it was attached with.
    """

    model: dict[str, Any]
    head: dict[str, Any]
    precision: str
    method: str
    options: dict[str, Any]
    plan: dict[str, Any]


def recipe_of(cell: Cell, plan: Plan) -> Recipe:
    """Return the recipe of a cell's model."""
    return Recipe(
        model=cell.model.model_dump(mode="json"),
        head={
            "family": cell.family.name,
            "num_labels": cell.num_labels,
            "attention": cell.train.attention,
        },
        precision=cell.train.precision,
        method=cell.method,
        options=cell.method_options,
        plan=vars(plan).copy(),
    )


def write(
    folder: Path, kind: ExportKind, recipe: Recipe, handle: Handle, trained: Collection[str]
) -> int:
    """Write the export in place of an older one; returns its bytes.

    The handle's model is finished by this when the whole model is written.

    Args:
        folder: of this export alone.
        kind: what to write.
        recipe: of the model.
        handle: of the method, after training and compaction.
        trained: names of all tensors that trained at any time, as the model calls them.
    """
    state = {"format": FORMAT, "kind": kind, "recipe": vars(recipe), "state": handle.state_dict()}
    with durable.new_folder(folder) as new:
        write_state(new, state)
        if kind == "adapter":
            stored = {id(tensor) for tensor in handle.buffers.values()}
            tensors = _named(handle.model)
            mine = {n: t for n, t in tensors.items() if n in trained or id(t) in stored}
            save_tensors(mine, new / "adapter.safetensors")
        else:
            model: Any = handle.finish(handle.model)
            save_tensors(_distinct(model.state_dict()), new / "model.safetensors")
            model.config.to_json_file(new / "config.json")
    return sum(file.stat().st_size for file in folder.iterdir())


def load(folder: Path, base: nn.Module | None = None) -> nn.Module:
    """Return the deployed model of an export, in eval mode.

    Args:
        folder: an export.
        base: the base model that an `adapter` goes onto; None loads the one that the recipe names.

    Raises:
        UserError: the folder holds no export of this format, or it does not fit the base model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from harness.training.precision import keep_head_fp32
    from methods import get_method, surgery
    from methods.base import Plan

    try:
        content = read_state(folder)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{folder} holds no export: {error}") from None
    if content.get("format") != FORMAT:
        raise UserError(f"{folder}: format {content.get('format')}, this code reads {FORMAT}")
    recipe, kind = Recipe(**content["recipe"]), content["kind"]
    model = base if base is not None else _base(recipe, with_weights=kind == "adapter")
    handle = get_method(recipe.method)(**recipe.options).attach(model, Plan(**recipe.plan))
    if recipe.precision == "bf16-weights":
        keep_head_fp32(handle.model, surgery.head_parameters(handle.model).values())
    handle.load_state_dict(content["state"])
    if kind == "adapter":
        _restore(handle.model, load_file(folder / "adapter.safetensors"), folder)
    handle.evaluating(on=True)
    finished = handle.finish(handle.model)
    if kind == "model":
        _restore(finished, load_file(folder / "model.safetensors"), folder)
    return finished.eval()


def _base(recipe: Recipe, with_weights: bool) -> nn.Module:
    from harness.models.load import build_model, load_model
    from harness.models.spec import ModelSpec
    from harness.tasks.families import get_family
    from harness.training.precision import weight_dtype

    spec, dtype = ModelSpec(**recipe.model), weight_dtype(recipe.precision)
    head = dict(recipe.head)
    head["family"] = get_family(head.pop("task_head", None) or head["family"])  # its older name
    if with_weights:
        return load_model(spec, **head, dtype=dtype, seed=recipe.plan["seed"])
    return build_model(spec, **head, dtype=dtype, use_cache=False)


def _restore(model: nn.Module, tensors: dict[str, Tensor], folder: Path) -> None:
    """Give the model's tensors the values of the file, each of which must fit."""
    import torch

    named = _named(model)
    with torch.no_grad():
        for name, value in tensors.items():
            if name not in named or named[name].shape != value.shape:
                fault = f"has shape {tuple(named[name].shape)}" if name in named else "is not there"
                raise UserError(f"{folder}: {name} {tuple(value.shape)} {fault} in the base model")
            named[name].copy_(value)


def _named(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, those that `state_dict` leaves out, too."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _distinct(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave out names whose tensor has another name already (tied weights)."""
    seen: set[tuple[Any, ...]] = set()
    kept = {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() == 0 or place not in seen:
            kept[name] = tensor
        seen.add(place)
    return kept
