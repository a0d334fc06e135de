"""Where an adapter between a layer's modules goes: the end of each sublayer, in every family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods import surgery

if TYPE_CHECKING:
    from torch import nn

    from methods.architectures import LayerRange


@dataclass(frozen=True)
class SublayerEnds:
    """Full names of the modules in one transformer layer that an adapter may follow.

    Attributes:
        layer: the layer itself.
        width: h, the size of what it puts out; Swin's stages differ.
        attention: last module of self-attention before the residual is added.
        ffn: the same of the feed-forward block.
        norm: the LayerNorm behind that residual, which ends the layer; None: there is none, as
            in models that normalise before a sublayer (GPT-2, LLaMA, ViT, Swin).
    """

    layer: str
    width: int
    attention: str
    ffn: str
    norm: str | None


def sublayer_ends(model: nn.Module, chosen: LayerRange = "all") -> list[SublayerEnds]:
    """Return the ends of every chosen layer, lowest first; the model may be edited already.

    A sublayer ends with the dropout of the block that holds its output projection (BERT, RoBERTa,
    DeBERTa, GPT-2), or with that projection where the block has none: LLaMA drops nothing out,
    BART calls a function, and ViT and Swin have one dropout module for both sublayers of a layer.
    In BART's decoder the first sublayer is meant; cross-attention has no end here.

    Raises:
        ValueError: the model is of an unknown type, or the range leaves it.
    """
    names = surgery.layer_names(model)
    return [_ends(model, names[index]) for index in surgery.select_layers(model, chosen)]


def _ends(model: nn.Module, layer: str) -> SublayerEnds:
    from torch import nn

    kind = surgery.architecture(model)
    own = [name for name in kind.attention if not name.startswith("encoder_attn.")]
    attention, ffn = f"{layer}.{own[-1]}", f"{layer}.{kind.ffn[-1]}"
    norms = _siblings(model, ffn, lambda module: isinstance(module, nn.LayerNorm))
    return SublayerEnds(
        layer=layer,
        width=surgery.linear_shape(model.get_submodule(ffn))[1],
        attention=_after_dropout(model, attention),
        ffn=_after_dropout(model, ffn),
        norm=norms[-1] if norms else None,
    )


def _after_dropout(model: nn.Module, projection: str) -> str:
    from torch import nn

    dropouts = _siblings(model, projection, lambda module: isinstance(module, nn.Dropout))
    return dropouts[-1] if dropouts else projection  # GPT-2's first drops attention weights


def _siblings(model: nn.Module, name: str, fits: Callable[[nn.Module], bool]) -> list[str]:
    """Return the modules that fit in the block that holds `name`, in order of definition."""
    block = name.rpartition(".")[0]
    children = model.get_submodule(block).named_children()
    return [f"{block}.{key}" for key, child in children if fits(surgery.unwrap(child))]
