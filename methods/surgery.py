"""The structure of a model in one place: its layers, linear layers, head and pooler.

Everything also works on models that a method has edited or wrapped, as long as an adapter keeps
the layer that it wraps in `base_layer` (peft's convention).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from methods.architectures import ARCHITECTURES, HEADS, TARGET_SETS, Architecture
from methods.wording import nearest

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from methods.architectures import LayerRange, Targets
    from methods.base import Plan


def architecture(model: nn.Module) -> Architecture:
    """Look up where `model` keeps its parts.

    Raises:
        ValueError: its `config.model_type` is not known here.
    """
    kind = _transformer(model)[1].config.model_type
    if kind not in ARCHITECTURES:
        raise ValueError(f"models of type {kind!r} are not known; {nearest(kind, ARCHITECTURES)}")
    return ARCHITECTURES[kind]


def family(model: nn.Module) -> str:
    """Return bert, roberta, deberta, gpt2, llama, bart, vit or swin."""
    return architecture(model).family


def layer_names(model: nn.Module) -> list[str]:
    """Return the full names of the transformer layers, lowest first; BART: encoder, decoder."""
    prefix, base = _base(model)
    pattern = re.compile(architecture(model).layer)
    return [prefix + name for name, _ in base.named_modules() if pattern.fullmatch(name)]


def layers(model: nn.Module) -> list[nn.Module]:
    """Return the transformer layers, lowest first; BART: encoder, then decoder."""
    return [model.get_submodule(name) for name in layer_names(model)]


def layer_of(name: str, names: Sequence[str]) -> int | None:
    """Return which layer of `names` (from `layer_names`) holds the module or parameter `name`.

    None: no layer does. What joins two stages of a Swin belongs to the last layer below it.
    """
    for index, layer in enumerate(names):
        if name == layer or name.startswith(layer + "."):
            return index
    stage, joint, _ = name.partition("downsample.")
    return max(
        (i for i, layer in enumerate(names) if joint and layer.startswith(stage)), default=None
    )


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
    return resolve_range(chosen, count, "layers", "this model has layers [0, {count})")


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
        ValueError: a set or a suffix that this model does not have.
    """
    names = layer_names(model)
    inner = [{n.removeprefix(f"{at}."): n for n in _linear_names(model, at)} for at in names]
    short_names = dict.fromkeys(short for layer in inner for short in layer)
    target_names = _resolve(architecture(model), targets, list(short_names))
    return [
        full
        for index in select_layers(model, chosen)
        for short, full in inner[index].items()
        if short in target_names
    ]


def what_targets_mean(model: nn.Module, targets: Targets) -> list[str]:
    """Say where a set of targets is on this model what its name, or a suffix, does not say."""
    kind, own = architecture(model), layer_names(model)
    if isinstance(targets, str):
        departure = kind.departures.get(targets)
        return [f"targets {targets} {departure}"] if departure else []
    short = {n.removeprefix(layer + ".") for layer in own for n in _linear_names(model, layer)}
    several = {suffix: sorted(_resolve(kind, (suffix,), sorted(short))) for suffix in targets}
    return [
        f"targets {suffix} fits {' and '.join(names)}"
        for suffix, names in several.items()
        if len(names) > 1
    ]


def _resolve(kind: Architecture, targets: Targets | str, short_names: Sequence[str]) -> set[str]:
    """Return the names inside a layer, out of `short_names`, that `targets` asks for."""
    if isinstance(targets, str):
        if targets not in TARGET_SETS:
            message = f"unknown targets {targets!r}; {nearest(targets, TARGET_SETS)}"
            raise ValueError(f"{message}; or give module names as a list")
        return set(kind.named_set(targets))
    target_names: set[str] = set()
    for suffix in targets:
        fitting = {name for name in short_names if f".{name}".endswith(f".{suffix}")}
        if not fitting:
            # One name per module and its last part, so that `querry` finds `query`.
            names = {*short_names, *(name.rpartition(".")[2] for name in short_names)}
            raise ValueError(
                f"no linear layer of this {kind.family} model is called {suffix!r}; "
                f"{nearest(suffix, names)}"
            )
        target_names |= fitting
    return target_names


def linear_shape(module: nn.Module) -> tuple[int, int]:
    """Return (d_in, d_out) of a linear layer, of GPT-2's Conv1D, or of an adapter around one."""
    from transformers.pytorch_utils import Conv1D

    base = unwrap(module)
    rows, columns = base.get_parameter("weight").shape
    return (rows, columns) if isinstance(base, Conv1D) else (columns, rows)


def unwrap(module: nn.Module) -> nn.Module:
    """Return the original layer inside any number of adapters."""
    while hasattr(module, "base_layer"):
        module = module.get_submodule("base_layer")
    return module


def head_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the task head's parameters; none for a language model, whose head is pretrained."""
    prefix, transformer = _transformer(model)
    return {
        f"{prefix}{name}": parameter
        for name, parameter in transformer.named_parameters()
        if name.split(".")[0] in HEADS
    }


def pooler_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters between the last layer and the head (BERT, DeBERTa), if any."""
    return {name: p for name, p in model.named_parameters() if "pooler" in name.split(".")}


def input_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters before the first layer: embeddings and their LayerNorms."""
    prefix, base = _base(model)
    pattern = re.compile(architecture(model).inputs)
    return {prefix + name: p for name, p in base.named_parameters() if pattern.match(name)}


def freeze_base(model: nn.Module, plan: Plan) -> None:
    """Stop every parameter from training except the head and, if the plan says so, the pooler."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    train_head(model, plan)


def train_head(model: nn.Module, plan: Plan) -> None:
    """Let the head train and, if the plan says so, the pooler."""
    pooler = pooler_parameters(model) if plan.train_pooler else {}
    for parameter in (head_parameters(model) | pooler).values():
        parameter.requires_grad_(True)


def _transformer(model: nn.Module) -> tuple[str, PreTrainedModel]:
    """Find the transformers model and its prefix; peft's prompt types wrap it."""
    from transformers import PreTrainedModel

    for name, module in model.named_modules():
        if isinstance(module, PreTrainedModel):
            return (f"{name}." if name else ""), module
    raise ValueError(f"{type(model).__name__} holds no transformers model")


def _base(model: nn.Module) -> tuple[str, nn.Module]:
    """Return the model without its head, with the prefix of its names."""
    prefix, transformer = _transformer(model)
    base = transformer.base_model
    return (prefix if base is transformer else f"{prefix}{transformer.base_model_prefix}."), base


def _linear_names(model: nn.Module, prefix: str) -> Iterator[str]:
    """Yield the linear layers at or below `prefix`, and parts of those that are several in one."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    module = model.get_submodule(prefix)
    if isinstance(unwrap(module), nn.Linear | Conv1D):
        yield prefix
        fused = architecture(model).fused.get(prefix.rpartition(".")[2], ())
        yield from (f"{prefix}.{part}" for part in fused)
        return
    for name, _ in module.named_children():
        yield from _linear_names(model, f"{prefix}.{name}")
