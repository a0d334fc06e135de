"""Which linear layers of a model's layers a set of targets is, and what its name does not say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from methods.architectures import GATES, PROJECTIONS, TARGET_SETS
from methods.linears import LayerLinears, fits, fused_layout, in_order, linears
from methods.parts import stated, transformer_of
from methods.tree import unused_names
from methods.wording import nearest

if TYPE_CHECKING:
    from torch import nn

    from methods.architectures import Targets

_CROSS = re.compile("cross|encoder_attn|encdec", re.IGNORECASE)
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
            "eleven", "twelve")  # fmt: skip


def target_names(model: nn.Module, targets: Targets | str) -> list[list[str]]:
    """Return, for every transformer layer, the full names of the linear layers in the targets.

    Of a layer that is several in one they may be parts, which `slices.opened` makes layers of.

    Args:
        model: a transformers model, plain or edited.
        targets: one of TARGET_SETS, or suffixes of module names inside the transformer layers. A
            suffix may fit several: `output.dense` is in both blocks of a BERT layer.

    Raises:
        ValueError: a set or a suffix that this model does not have.
    """
    found = linears(model)
    chosen = _chosen(model, targets, found)
    seen: set[int] = set()  # a module that several layers share is changed once
    wanted = []
    for own, names in zip(found, chosen, strict=True):
        full = [f"{own.layer}.{name}" for name in in_order(model, own) if name in names]
        wanted.append([name for name in full if _is_new(model, name, seen)])
    return wanted


def what_targets_mean(model: nn.Module, targets: Targets) -> list[str]:
    """Say where a set of targets is on this model what its name, or a suffix, does not say."""
    found = linears(model)
    chosen = _chosen(model, targets, found)
    if not isinstance(targets, str):
        several = {t: _dict(n for names in chosen for n in names if fits(n, t)) for t in targets}
        return [
            f"targets {suffix} fits {_listed(sorted(names))}"
            for suffix, names in several.items()
            if len(names) > 1
        ]
    own = _given(model, targets)
    departs = [f"is {_listed(own)} here, as the suite's parts say"] if own else []
    said = "; ".join([*departs, *_departures(model, targets, found, chosen)])
    return [f"targets {targets} {said}"] if said else []


def _chosen(
    model: nn.Module, targets: Targets | str, found: Sequence[LayerLinears]
) -> list[set[str]]:
    """Return the names inside each layer that the targets ask for."""
    if not isinstance(targets, str):
        return _by_suffix(model, targets, found)
    if targets not in TARGET_SETS:
        message = f"unknown targets {targets!r}; {nearest(targets, TARGET_SETS)}"
        raise ValueError(f"{message}; or give module names as a list")
    given = _given(model, targets)
    if given is not None:
        return _by_suffix(model, given, found)
    sets: Mapping[str, Callable[[LayerLinears], Iterable[str]]] = {
        "attention": lambda own: own.attention,
        "ffn": lambda own: own.ffn,
        "all-linear": lambda own: own.names,
        "qv": lambda own: _projections(model, own, ("query", "value")),
        "six": lambda own: _six(model, own),
    }
    chosen = [set(sets[targets](own)) for own in found]
    missing = _missing(model, targets, found, chosen)
    if missing:
        names = ", ".join(_short(found))
        raise ValueError(
            f"targets {targets}: no {missing} found in the layers of this {_kind(model)} model; "
            + (f"give a list of names out of {names}" if names else "there is none in them at all")
        )
    return chosen


def _given(model: nn.Module, targets: str) -> tuple[str, ...] | None:
    """Return what the suite's parts say that a named set is, if they do."""
    parts = stated(model)
    return {"qv": parts.qv, "six": parts.six}.get(targets)


def _by_suffix(
    model: nn.Module, suffixes: Sequence[str], found: Sequence[LayerLinears]
) -> list[set[str]]:
    every = [in_order(model, own) for own in found]
    short = _dict(name for names in every for name in names)
    for suffix in suffixes:
        if not any(fits(name, suffix) for name in short):
            # One name per module and its last part, so that `querry` finds `query`.
            allowed = {*short, *(name.rpartition(".")[2] for name in short)}
            raise ValueError(
                f"no linear layer of this {_kind(model)} model is called {suffix!r}; "
                f"{nearest(suffix, allowed)}"
            )
    return [{n for n in names if any(fits(n, s) for s in suffixes)} for names in every]


def _missing(
    model: nn.Module, targets: str, found: Sequence[LayerLinears], chosen: Sequence[set[str]]
) -> str:
    """Return which part of a named set no layer of the model has."""
    if targets not in ("qv", "six"):
        what = {"attention": "linear layer of attention was", "ffn": "feed-forward layer was"}
        return "" if any(chosen) else what.get(targets, "linear layer was")
    roles = {role for own in found for name in own.attention for role in _roles(model, name)}
    wanted = ("query", "value") if targets == "qv" else ("query", "key", "value", "output")
    lacking = [f"{role} projection" for role in wanted if role not in roles]
    if targets == "six" and not any(own.ffn for own in found) and not _experts(model, found):
        lacking.append("feed-forward layer")
    return f"{' and no '.join(lacking)} was" if lacking else ""


def _roles(model: nn.Module, name: str) -> tuple[str, ...]:
    """Return what a linear layer of attention is; several in one: query, key and value."""
    layout = fused_layout(model, name)
    if layout is not None:
        return layout.names
    last = _last(name)
    return tuple(role for role, names in PROJECTIONS.items() if last in names)


def _last(name: str) -> str:
    """Return the last part of a name that says something: some wrap a layer as `q_proj.linear`."""
    return name.removesuffix(".linear").rpartition(".")[2]


def _projections(model: nn.Module, own: LayerLinears, roles: Sequence[str]) -> Iterator[str]:
    """Yield the projections of these kinds; of a fused one the parts."""
    for name in own.attention:
        layout = fused_layout(model, name)
        if layout is not None:
            yield from (f"{name}.{part}" for part in layout.names if part in roles)
        elif set(_roles(model, name)) & set(roles):
            yield name


def _six(model: nn.Module, own: LayerLinears) -> Iterator[str]:
    """Yield the linear layers of the original transformer; a fused one whole."""
    yield from (name for name in own.attention if _roles(model, name))
    yield from (name for name in own.ffn if not {*name.split(".")} & GATES)


def _departures(
    model: nn.Module, targets: str, found: Sequence[LayerLinears], chosen: Sequence[set[str]]
) -> Iterator[str]:
    """Yield what a named set is here that its name does not say."""
    every = _dict(name for own in found for name in own.names)
    fused = [name for name in every if fused_layout(model, name)]
    counts = Counter(len(names) for names in chosen if any(_CROSS.search(n) for n in names))
    if counts and targets in ("six", "qv", "attention"):
        crossed = "those of cross-attention, too" if targets == "qv" else "cross-attention, too"
        count = _word(counts.most_common(1)[0][0])
        yield f"takes {crossed}{f': {count} in a decoder layer' if targets != 'attention' else ''}"
    if fused and targets == "qv":
        share = _share(model, fused[0])
        yield (
            f"is {share} of {_listed(fused)} here, which makes query, key and value: it is taken "
            "apart for it"
        )
    if targets == "six":
        names = _dict(name for names in chosen for name in names)
        if fused:
            count = _word(len(names))
            yield f"is {count} linear layers here: {_listed(fused)} is query, key and value in one"
        left = [name for name in every if name not in names]
        if left:
            pronoun = "it" if len(left) == 1 else "them"
            yield f"leaves out {_listed(left)} here; all-linear has {pronoun}"
    unused = _dict(n for own in found for n in _unused(model, own.layer))
    if unused and targets in ("attention", "all-linear"):
        yield f"leaves out {_listed(unused)} here: an adapter there would not train"
    experts = _experts(model, found) if targets in ("six", "ffn", "all-linear") else []
    if experts:
        yield f"leaves out {_listed(experts)} here: experts in one tensor are no linear layers"


def _unused(model: nn.Module, layer: str) -> Iterator[str]:
    for name in unused_names(layer, model.get_submodule(layer)):
        yield name.removeprefix(f"{layer}.")


def _word(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def _share(model: nn.Module, name: str) -> str:
    layout = fused_layout(model, name)
    units = layout.units if layout else (1, 1, 1)
    return "two thirds" if len(set(units)) == 1 else f"{units[0] + units[2]} of {sum(units)} parts"


def _experts(model: nn.Module, found: Sequence[LayerLinears]) -> list[str]:
    """Return the modules inside of layers whose own matrices are tensors of three dimensions."""
    names = (
        name
        for own in found
        for name, module in model.get_submodule(own.layer).named_modules()
        if "expert" in type(module).__name__.lower()
        and any(p.dim() == 3 for p in module.parameters(recurse=False))
    )
    return list(_dict(names))


def _is_new(model: nn.Module, name: str, seen: set[int]) -> bool:
    """Tell whether no module of `seen` is the linear layer called `name`, and add it."""
    home, _, part = name.rpartition(".")
    layout = fused_layout(model, home)
    if layout is not None and part in layout.names:
        return True
    known = id(model.get_submodule(name))
    new = known not in seen
    seen.add(known)
    return new


def _kind(model: nn.Module) -> str:
    return str(transformer_of(model)[1].config.model_type)


def _short(found: Sequence[LayerLinears]) -> list[str]:
    return list(_dict(name for own in found for name in own.names))


def _dict(names: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(names)


def _listed(names: Iterable[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
