"""A model's repeated blocks, found in its tree of modules; and which modules are linear layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

# Modules of a stage (Swin) that are in none of its blocks: they join it to its neighbours.
_JOINT = re.compile("downsampl|merging|embed|pool|reduction", re.IGNORECASE)
# A tower beside a text model that has no config of its own (Idefics).
_TOWER = re.compile(r"(?:^|\.)(?:vision|visual|image|audio|speech)\w*\.", re.IGNORECASE)
# Subclasses of nn.Linear that return something else than x W + b.
_OTHERWISE = re.compile("router|gate|grouped", re.IGNORECASE)

# Linear layers that an adapter around them would not train, in modules of these classes, the first
# that fits (read in transformers 5.24): the module hands their weights to a function of its own and
# never calls them, or what they put out only chooses tokens (DeepSeek's indexer). None: all.
_UNUSED: tuple[tuple[re.Pattern[str], set[str] | None], ...] = (
    (re.compile("JambaMamba"), {"dt_proj"}),
    (re.compile("Mamba|BambaMixer|FalconH1Mixer"), {"x_proj", "dt_proj", "out_proj"}),
    (re.compile("WavLMAttention"), {"q_proj", "k_proj", "v_proj", "out_proj"}),
    (re.compile("LongcatFlashTopkRouter"), {"classifier"}),
    (re.compile("Gemma3nTextAltUp"), {"correction_coefs"}),
    (re.compile("Indexer"), None),
    (re.compile("^MultiheadAttention$"), {"out_proj"}),
)

Named = tuple[str, "nn.Module"]


def unwrap(module: nn.Module) -> nn.Module:
    """Return the original layer inside any number of adapters."""
    while hasattr(module, "base_layer"):
        module = module.get_submodule("base_layer")
    return module


def is_linear(module: nn.Module) -> bool:
    """Tell whether a module, or what an adapter wraps, is x W + b: nn.Linear, GPT-2's Conv1D."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    plain = unwrap(module)
    if not isinstance(plain, nn.Linear | Conv1D):
        return False
    kind = type(plain)
    return kind.forward in (nn.Linear.forward, Conv1D.forward) or not _OTHERWISE.search(
        kind.__name__
    )


def linear_names(name: str, module: nn.Module) -> Iterator[str]:
    """Yield the names of the linear layers at or below `module`, which is called `name`.

    Those that an adapter would not train are left out: see `unused_names`.
    """
    if is_linear(module):
        yield name
    elif not hasattr(module, "base_layer"):
        unused = _unused_in(module)
        for key, child in module.named_children():
            if key not in unused:
                yield from linear_names(_join(name, key), child)


def unused_names(name: str, module: nn.Module) -> Iterator[str]:
    """Yield the names of linear layers that no gradient, or no call, reaches through an adapter."""
    for path, holder in module.named_modules(prefix=name):
        unused = _unused_in(holder)
        for key, child in holder.named_children():
            if key in unused and is_linear(child):
                yield _join(path, key)


def _unused_in(module: nn.Module) -> set[str]:
    kind = type(module).__name__
    for pattern, names in _UNUSED:
        if pattern.search(kind):
            return {name for name, _ in module.named_children()} if names is None else names
    return set()


def block_names(transformer: PreTrainedModel, base: nn.Module) -> list[str]:
    """Return the names below `base` of a model's repeated blocks, lowest first.

    Blocks are what lists of modules (nn.ModuleList, nn.Sequential) hold, if it has linear layers;
    of a list of stages the blocks of each stage. What such lists hold inside of a block (experts)
    are none. Of an encoder-decoder come the encoder's, then the decoder's; of a model that has a
    text model of its own, that one's alone. A model without linear layers in such lists (ResNet)
    has the blocks that hold convolutions.
    """
    for wanted in (_has_linear, _has_convolution):
        names = list(chain.from_iterable(
            _blocks(name, scope, wanted) for name, scope in _scopes(transformer, base)
        ))  # fmt: skip
        if names:
            beside = [name for name in names if not _TOWER.search(name)]
            return beside or names
    return []


def _scopes(transformer: PreTrainedModel, base: nn.Module) -> list[Named]:
    """Return the modules to look for blocks in."""
    names = {id(module): name for name, module in base.named_modules()}
    config = transformer.config
    if getattr(config, "is_encoder_decoder", False):
        ends = [transformer.get_encoder(), transformer.get_decoder()]
        if all(names.get(id(end)) for end in ends) and ends[0] is not ends[1]:
            return [(names[id(end)], end) for end in ends]
    try:
        text = config.get_text_config()
    except ValueError:  # it has several
        text = config
    if type(text) is not type(config):
        for name, module in base.named_modules():
            if type(getattr(module, "config", None)) is type(text):
                return [(name, module)]
    return [("", base)]


def _blocks(name: str, module: nn.Module, wanted: Callable[[nn.Module], bool]) -> list[str]:
    """Return the names of the blocks in the lists at or below `module`."""
    found: list[list[str]] = []
    for key, child in module.named_children():
        path = _join(name, key)
        if _is_list(child):
            found.append(_of_list(path, child, wanted))
        elif not hasattr(child, "base_layer"):
            found.append(_blocks(path, child, wanted))
    # XLM has its sublayers in lists beside each other: one of each makes a layer.
    lists = [names for names in found if names]
    if len(lists) > 1 and len({len(names) for names in lists}) == 1 and _side_by_side(lists):
        return list(chain.from_iterable(zip(*lists, strict=True)))
    return list(chain.from_iterable(found))


def _of_list(path: str, module: nn.Module, wanted: Callable[[nn.Module], bool]) -> list[str]:
    elements = [(f"{path}.{key}", child) for key, child in module.named_children()]
    holding = [(n, element) for n, element in elements if wanted(element)]
    if not holding or any(not list(unwrap(element).children()) for _, element in holding):
        return []  # nothing, or single layers one after the other
    inner = [_of_stage(n, element, wanted) for n, element in holding]
    if all(inner):
        return list(chain.from_iterable(inner))
    return [n for n, element in elements if any(True for _ in element.parameters())]


def _of_stage(name: str, module: nn.Module, wanted: Callable[[nn.Module], bool]) -> list[str]:
    """Return the blocks of a stage; none where the module is a block itself.

    A stage is a list of blocks of one kind, and what joins it to its neighbours. T5's blocks hold
    a list, too: of sublayers of different kinds.
    """
    inner = _of_list(name, module, wanted) if _is_list(module) else _blocks(name, module, wanted)
    kinds = {type(module.get_submodule(n.removeprefix(f"{name}."))) for n in inner}
    if len(kinds) != 1:
        return []
    for path, child in module.named_modules(prefix=name):
        outside = not any(path == n or path.startswith(f"{n}.") for n in inner)
        leaf = not list(child.children())
        if outside and leaf and wanted(child) and not _joins(name, path, module):
            return []
    return inner


def _joins(name: str, path: str, module: nn.Module) -> bool:
    """Tell whether the part of a stage that holds the module `path` joins stages."""
    key = path.removeprefix(f"{name}.").partition(".")[0]
    return bool(_JOINT.search(key) or _JOINT.search(type(module.get_submodule(key)).__name__))


def _side_by_side(lists: list[list[str]]) -> bool:
    homes = {names[0].rpartition(".")[0].rpartition(".")[0] for names in lists}
    return len(homes) == 1 and all(len(names) > 1 for names in lists)


def _is_list(module: nn.Module) -> bool:
    from torch import nn

    return isinstance(module, nn.ModuleList | nn.Sequential)


def _has_linear(module: nn.Module) -> bool:
    return any(True for _ in linear_names("", module))


def _has_convolution(module: nn.Module) -> bool:
    from torch import nn

    return any(isinstance(m, nn.Conv1d | nn.Conv2d) for m in module.modules())


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
