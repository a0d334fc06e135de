"""Where a model keeps its parts: layers, head, pooler, and what comes before the first layer.

All of it is found in the tree of modules, or stated by a suite (`Parts`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from methods.architectures import HEADS, Parts
from methods.tree import block_names

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

# Attribute of a transformers model: the parts that a suite states.
STATED = "stated_parts"
# Modules of a stage that stand behind its blocks; all others stand before them.
_BEHIND = re.compile("downsample$|norm", re.IGNORECASE)
_EMBEDDING = re.compile("embed|position", re.IGNORECASE)
# What language models are called, whose head is pretrained.
_LANGUAGE = re.compile(
    "For(CausalLM|ConditionalGeneration|MaskedLM|VisionText2Text)$|LMHead(Model)?$"
)
# Beside the names of heads: what goes before one where the base model is not apart.
_BEFORE_HEAD = ("pre_classifier", "projector", "layer_weights", "sequence_summary", "logits_proj")


def transformer_of(model: nn.Module) -> tuple[str, PreTrainedModel]:
    """Find the transformers model and its prefix; peft's prompt types wrap it.

    Raises:
        ValueError: there is none.
    """
    from transformers import PreTrainedModel

    for name, module in model.named_modules():
        if isinstance(module, PreTrainedModel):
            return (f"{name}." if name else ""), module
    raise ValueError(f"{type(model).__name__} holds no transformers model")


def base_of(model: nn.Module) -> tuple[str, nn.Module]:
    """Return the model without its head, with the prefix of its names."""
    prefix, transformer = transformer_of(model)
    base = transformer.base_model
    return (prefix if base is transformer else f"{prefix}{transformer.base_model_prefix}."), base


def stated(model: nn.Module) -> Parts:
    """Return what a suite states of the model."""
    parts: Parts = getattr(transformer_of(model)[1], STATED, Parts())
    return parts


def layer_names(model: nn.Module) -> list[str]:
    """Return the full names of the transformer layers, lowest first; encoder, then decoder.

    Raises:
        ValueError: the pattern that the suite states for them matches no module.
    """
    prefix, transformer = transformer_of(model)
    given = stated(model).layers
    if given is not None:
        found = [n for n, _ in transformer.named_modules() if re.fullmatch(given, n)]
        if not found:
            own = block_names(transformer, transformer)
            there = f"its blocks are {own[0]} to {own[-1]}" if own else "it has no repeated blocks"
            raise ValueError(f"parts.layers {given!r} matches no module of this model; {there}")
        _refuse_holders(transformer, given, found)
        return [prefix + name for name in found]
    prefix, base = base_of(model)
    return [prefix + name for name in block_names(transformer, base)]


def _refuse_holders(transformer: PreTrainedModel, given: str, found: Sequence[str]) -> None:
    """Refuse what is no layer: the model, a list of modules, or what holds another match.

    Raises:
        ValueError: naming the pattern and the first of them.
    """
    from torch import nn

    whole = {
        "",
        *([] if transformer.base_model is transformer else [transformer.base_model_prefix]),
    }
    for name in found:
        inner = next((n for n in found if n != name and n.startswith(name and f"{name}.")), None)
        lists = isinstance(transformer.get_submodule(name), nn.ModuleList | nn.ModuleDict)
        why = "the whole model" if name in whole else "a list of modules" if lists else ""
        why = why or (f"which holds {inner!r}, another match" if inner else "")
        if why:
            own = block_names(transformer, transformer)
            wanted = f"; its blocks are {own[0]} to {own[-1]}" if own else ""
            raise ValueError(f"parts.layers {given!r} matches {name!r}, {why}{wanted}")


def layer_of(name: str, names: Sequence[str]) -> int | None:
    """Return which layer of `names` (from `layer_names`) holds the module or parameter `name`.

    None: no layer does. What joins two stages of a Swin or a ConvNeXt belongs to the last layer
    below it.
    """
    for index, layer in enumerate(names):
        if name == layer or name.startswith(layer + "."):
            return index
    stages = [_stage(layer) for layer in names]
    for stage in dict.fromkeys(stages):
        if stage and name.startswith(stage):
            behind = _BEHIND.search(name.removeprefix(stage).partition(".")[0])
            own = [index for index, other in enumerate(stages) if other == stage]
            return own[-1] if behind else own[0] - 1 if own[0] else None
    return None


def stack_of(layer: str) -> str:
    """Return which of two stacks a layer is in by its name, encoder or decoder; else nothing."""
    return next((part for part in layer.split(".") if part in ("encoder", "decoder")), "")


def _stage(layer: str) -> str:
    """Return the prefix of the stage that holds a layer: `stages.1.` of `stages.1.layers.0`."""
    parts = layer.split(".")
    numbers = [place for place, part in enumerate(parts) if part.isdecimal()]
    return ".".join(parts[: numbers[-2] + 1]) + "." if len(numbers) > 1 else ""


def head_names(model: nn.Module) -> list[str]:
    """Return the full names of the modules that are the task head; none in a language model."""
    prefix, transformer = transformer_of(model)
    given = stated(model).head
    if given is not None:
        return [prefix + name for name in _existing(transformer, given, "head")]
    if _is_language_model(transformer):
        return []
    base = transformer.base_model
    children = {name: child for name, child in transformer.named_children() if "pooler" not in name}
    if base is transformer:
        names = [name for name in children if name in (*HEADS, *_BEFORE_HEAD)]
        names = names if set(names) & {*HEADS} else []
    else:
        names = [name for name, child in children.items() if child is not base]
    names = [name for name in names if any(True for _ in children[name].parameters())]
    return [prefix + name for name in names]


def output_module(model: nn.Module) -> nn.Module:
    """Return the module that puts the logits out: a language model's, or the last of the head.

    Raises:
        ValueError: there is no head.
    """
    _, transformer = transformer_of(model)
    language: nn.Module | None = transformer.get_output_embeddings()
    names = head_names(model)
    if language is None and not names:
        raise ValueError(f"no head was found on this {type(transformer).__name__}")
    return model.get_submodule(names[-1]) if language is None else language


def head_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the task head's parameters; none for a language model, whose head is pretrained."""
    return _below(model, head_names(model))


def pooler_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters between the last layer and the head (BERT, DeBERTa), if any."""
    prefix, transformer = transformer_of(model)
    given = stated(model).pooler
    if given is not None:
        return _below(model, [prefix + n for n in _existing(transformer, given, "pooler")])
    return {name: p for name, p in model.named_parameters() if "pooler" in name.split(".")}


def input_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters before the first layer: embeddings and their norms, other towers."""
    prefix, transformer = transformer_of(model)
    given = stated(model).inputs
    if given is not None:
        return _below(model, [prefix + n for n in _existing(transformer, given, "inputs")])
    names, (inner, base) = layer_names(model), base_of(model)
    outside = {*pooler_parameters(model), *head_parameters(model)}
    behind = tuple(f"{name}." for name in _behind(inner, base, names))
    return {
        name: parameter
        for name, parameter in base.named_parameters(prefix=inner.removesuffix("."))
        if name not in outside and not name.startswith(behind) and layer_of(name, names) is None
    }


def _behind(prefix: str, base: nn.Module, names: Sequence[str]) -> Iterator[str]:
    """Yield the modules that stand behind a stack of layers: final norms, mostly."""
    from torch import nn

    paths = {n.removeprefix(prefix).rpartition(".")[0] for n in names if n.startswith(prefix)}
    for path in paths - {""}:
        parts = path.split(".")
        for depth, key in enumerate(parts):
            home = ".".join(parts[:depth])
            children = list(base.get_submodule(home).named_children())
            place = [name for name, _ in children].index(key)
            embedded = False  # the norm of a table of relative positions follows it (DeBERTa)
            for name, child in children[place + 1 :]:
                full = f"{home}.{name}" if home else name
                holds = any(isinstance(m, nn.ModuleList | nn.Embedding) for m in child.modules())
                norm = "norm" in type(child).__name__.lower()
                embedded = embedded or isinstance(child, nn.Embedding)
                if not holds and not _EMBEDDING.search(name) and not (embedded and norm):
                    yield prefix + full


def _is_language_model(transformer: PreTrainedModel) -> bool:
    if transformer.get_output_embeddings() is not None:
        return True
    return bool(_LANGUAGE.search(type(transformer).__name__))


def _below(model: nn.Module, names: Sequence[str]) -> dict[str, nn.Parameter]:
    starts = tuple(f"{name}." for name in names)
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if name in names or name.startswith(starts)
    }


def _existing(transformer: nn.Module, names: Sequence[str], part: str) -> Sequence[str]:
    """Return the names, each of which must be of a module or, but for a head, of a parameter.

    Raises:
        ValueError: one is of none.
    """
    there = {name for name, _ in transformer.named_modules() if name}
    tensors = {name for name, _ in transformer.named_parameters()}
    for name in names:
        if part == "head" and name in tensors:
            raise ValueError(
                f"parts.head: {name!r} is a parameter; give its module {name.rpartition('.')[0]!r}"
            )
        if name not in there | tensors:
            near = get_close_matches(name, sorted(there), n=2)
            top = [child for child, _ in transformer.named_children()]
            hint = f"did you mean {' or '.join(map(repr, near))}?" if near else (
                f"names begin with {', '.join(top)}"
            )  # fmt: skip
            raise ValueError(f"parts.{part}: this model has no {name!r}; {hint}")
    return names
