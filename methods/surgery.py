"""The structure of a model in one place: its layers, linear layers, head and pooler.

Everything also works on models that a method has edited or wrapped, as long as an adapter keeps
the layer that it wraps in `base_layer` (peft's convention).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from methods.architectures import FAMILIES
from methods.linears import LayerLinears, fused_layout, linears, text_config
from methods.parts import (
    STATED,
    head_names,
    head_parameters,
    input_parameters,
    layer_names,
    layer_of,
    output_module,
    pooler_parameters,
    stack_of,
    transformer_of,
)
from methods.quantized import (
    is_quantized,
    num_parameters,
    quantized_names,
    refuse_quantized,
    refuse_trained,
)
from methods.targets import target_names, what_targets_mean
from methods.tree import is_linear, unwrap

if TYPE_CHECKING:
    from torch import nn

    from methods.architectures import LayerRange, Parts, Targets
    from methods.base import Plan

__all__ = [
    "LayerLinears",
    "family",
    "freeze_base",
    "fused_layout",
    "group_by_layer",
    "head_names",
    "head_parameters",
    "input_parameters",
    "is_linear",
    "is_quantized",
    "layer_names",
    "layer_of",
    "layers",
    "linear_shape",
    "linears",
    "num_parameters",
    "output_module",
    "pooler_parameters",
    "quantized_names",
    "refuse_quantized",
    "refuse_trained",
    "resolve_range",
    "select_layers",
    "stack_of",
    "state_parts",
    "stores_transposed",
    "target_modules",
    "text_config",
    "train_head",
    "transformer_of",
    "unwrap",
    "what_targets_mean",
]


def state_parts(model: nn.Module, parts: Parts) -> None:
    """Let a transformers model have these parts, in place of those that its structure says.

    Raises:
        ValueError: the model has no such module or linear layer.
    """
    setattr(transformer_of(model)[1], STATED, parts)
    layer_names(model)
    for read in (head_parameters, pooler_parameters, input_parameters):
        read(model)
    for name in ("attention", "qv", "six"):
        suffixes = getattr(parts, name)
        if suffixes is not None:
            try:
                target_names(model, suffixes)
            except ValueError as error:
                raise ValueError(f"parts.{name}: {error}") from None


def family(model: nn.Module) -> str:
    """Return bert, roberta, deberta, gpt2, llama, bart, vit or swin; of others the model type."""
    kind = str(transformer_of(model)[1].config.model_type)
    return FAMILIES.get(kind, kind)


def layers(model: nn.Module) -> list[nn.Module]:
    """Return the transformer layers, lowest first; BART: encoder, then decoder."""
    return [model.get_submodule(name) for name in layer_names(model)]


def group_by_layer(
    model: nn.Module, parameters: Mapping[str, nn.Parameter]
) -> list[list[nn.Parameter]]:
    """Sort parameters into one list per transformer layer, lowest first; empty if none is in one.

    A parameter outside of the layers, or shared between layers, belongs to no list.
    """
    names = layer_names(model)
    ids = {id(parameter) for parameter in parameters.values()}
    homes: dict[int, set[int | None]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in ids:
            homes.setdefault(id(parameter), set()).add(layer_of(name, names))
    groups: list[list[nn.Parameter]] = [[] for _ in names]
    for parameter in parameters.values():
        home = homes[id(parameter)]
        index = home.pop() if len(home) == 1 else None
        if index is not None:
            groups[index].append(parameter)
    return groups if any(groups) else []


def select_layers(model: nn.Module, chosen: LayerRange) -> range:
    """Resolve a range of layers; `upper-half` is every layer i >= L/2.

    Raises:
        ValueError: the range is empty or leaves the model.
    """
    count = len(layer_names(model))
    reason = "this model has layers [0, {count})"
    if count == 1:
        reason += " (one layer, which may be called many times)"
    return resolve_range(chosen, count, "layers", reason)


def resolve_range(chosen: LayerRange, count: int, option: str, reason: str) -> range:
    """Resolve a range of `count` layers, which `option` asks for.

    Raises:
        ValueError: the range is empty or leaves them; `reason` says so, with `{count}` in it.
    """
    half = (count + 1) // 2
    named = {"all": (0, count), "upper-half": (half, count), "lower-half": (0, half)}
    start, stop = named[chosen] if isinstance(chosen, str) else chosen
    if not 0 <= start < stop <= count:
        raise ValueError(f"{option} [{start}, {stop}): {reason.format(count=count)}")
    return range(start, stop)


def target_modules(
    model: nn.Module, targets: Targets | str, chosen: LayerRange = "all"
) -> list[str]:
    """Return the full names of the linear layers that an adapter shall change.

    Of a layer that is several in one they may be parts, which `slices.opened` makes layers of.

    Args:
        model: a transformers model, plain or edited.
        targets: one of TARGET_SETS, or suffixes of module names inside the transformer layers. A
            suffix may fit several: `output.dense` is in both blocks of a BERT layer.
        chosen: the transformer layers to take them from.

    Raises:
        ValueError: a set or a suffix that this model does not have, or not in these layers.
    """
    names = target_names(model, targets)
    return [name for index in select_layers(model, chosen) for name in names[index]]


def linear_shape(module: nn.Module) -> tuple[int, int]:
    """Return (d_in, d_out) of a linear layer, of GPT-2's Conv1D, or of an adapter around one."""
    plain = unwrap(module)
    if is_quantized(plain):
        return plain.in_features, plain.out_features  # type: ignore[return-value]
    rows, columns = plain.get_parameter("weight").shape
    return (rows, columns) if stores_transposed(module) else (columns, rows)


def stores_transposed(module: nn.Module) -> bool:
    """Tell whether a linear layer's weight is (d_in, d_out), as that of GPT-2's Conv1D."""
    from transformers.pytorch_utils import Conv1D

    return isinstance(unwrap(module), Conv1D)


def freeze_base(model: nn.Module, plan: Plan) -> None:
    """Stop every parameter from training except the head and, if the plan says so, the pooler."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    train_head(model, plan)


def train_head(model: nn.Module, plan: Plan) -> None:
    """Let the head train and, if the plan says so, the pooler.

    Raises:
        ValueError: nothing below the head of this model would train with a frozen base.
    """
    if family(model) == "reformer":
        raise ValueError(
            "reformer's layers are reversible: their backward pass runs only where what goes into "
            "the lowest one needs a gradient, so that the embeddings must train; full does it"
        )
    pooler = pooler_parameters(model) if plan.train_pooler else {}
    for parameter in (head_parameters(model) | pooler).values():
        parameter.requires_grad_(True)
