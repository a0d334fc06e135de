"""The linear layers of a model's transformer layers: attention's, and the feed-forward block's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from methods.architectures import FUSED, layout_of
from methods.parts import layer_names, stated, transformer_of
from methods.tree import linear_names

if TYPE_CHECKING:
    from torch import nn

    from methods.architectures import Layout, Parts

# Modules inside a layer that mix tokens, by class; by name only where they are called attention.
_MIXER = re.compile("attention|attn|mamba|recurrent|shortconv|mlstm|modulation", re.IGNORECASE)
_ATTENTION = re.compile("attention|attn|^mamba$", re.IGNORECASE)


@dataclass(frozen=True)
class LayerLinears:
    """The linear layers of one transformer layer, by their names inside of it.

    Attributes:
        layer: full name of the layer.
        attention: those of attention, or of what mixes tokens in its place (Mamba), in order of
            definition; cross-attention's, too.
        ffn: all others.
    """

    layer: str
    attention: tuple[str, ...]
    ffn: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, attention's first."""
        return self.attention + self.ffn


def linears(model: nn.Module) -> list[LayerLinears]:
    """Return the linear layers of every transformer layer, the lowest layer first."""
    return [_of_layer(model, name, stated(model)) for name in layer_names(model)]


def fused_layout(model: nn.Module, name: str) -> Layout | None:
    """Return how the projection called `name` is query, key and value in one; None: it is not.

    A layout that is not known here counts as none.
    """
    last = name.rpartition(".")[2]
    return layout_of(text_config(model), last) if last in FUSED else None


def _of_layer(model: nn.Module, layer: str, parts: Parts) -> LayerLinears:
    module = model.get_submodule(layer)
    names = list(dict.fromkeys(_whole(model, n) for n in _inside(model, layer)))
    if parts.attention is None:
        attention = [name for name in names if _mixes(module, name)]
    else:
        attention = [n for n in names if any(fits(n, suffix) for suffix in parts.attention)]
    ffn = [name for name in names if name not in attention]
    return LayerLinears(layer, tuple(attention), tuple(ffn))


def _mixes(layer: nn.Module, name: str) -> bool:
    """Tell whether a linear layer is inside of attention, or of what stands in its place."""
    *homes, _ = name.split(".")
    module: Any = layer
    own = type(layer).__name__
    if not homes:  # XLM's attention is in a list of its own
        return bool(_ATTENTION.search(own)) and not own.endswith(("Layer", "Block"))
    for key in homes:
        module = module.get_submodule(key)
        if _MIXER.search(type(module).__name__) or _ATTENTION.search(key):
            return True
    return False


def in_order(model: nn.Module, own: LayerLinears) -> list[str]:
    """Return all linear layers and the parts of the fused ones, in order of definition."""
    names: list[str] = []
    for name in _inside(model, own.layer):
        layout = fused_layout(model, name)
        names += [name, *(f"{name}.{part}" for part in layout.names)] if layout else [name]
    return names


def _inside(model: nn.Module, layer: str) -> Iterator[str]:
    """Yield the names inside a layer of the linear layers that it has now."""
    for name in linear_names(layer, model.get_submodule(layer)):
        yield name.removeprefix(f"{layer}.")


def _whole(model: nn.Module, name: str) -> str:
    """Return the name of the projection that was taken apart into this one, or the name."""
    home, _, part = name.rpartition(".")
    layout = fused_layout(model, home)
    return home if layout is not None and part in layout.names else name


def text_config(model: nn.Module) -> Any:
    """Return the config of the text model, where there is one of its own."""
    config = transformer_of(model)[1].config
    try:
        return config.get_text_config()
    except ValueError:  # it has several
        return config


def fits(name: str, suffix: str) -> bool:
    """Tell whether a name ends with these of its parts."""
    return f".{name}".endswith(f".{suffix}")
