"""Where an adapter between a layer's modules goes: the end of each sublayer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from methods import surgery
from methods.architectures import GATES, PROJECTIONS

if TYPE_CHECKING:
    from torch import nn

    from methods.architectures import LayerRange

# Feed-forward blocks whose dropout runs behind their last layer (in others it runs before it).
_DROPS_OUTPUT = re.compile("(GPT2|GPTNeo|GPTJ|GPTBigCode|CodeGen)MLP")
_CROSS = re.compile("cross|encoder_attn|encdec", re.IGNORECASE)
# Families whose LayerNorms, beside the projections in the layer itself, stand behind a residual.
_NORM_BEHIND = {"bart"}
# Those whose norms, for all their names, stand behind it.
_RENAMED = {"openai-gpt"}
# Names of norms that stand before a sublayer.
_BEFORE = {
    "input_layernorm", "post_attention_layernorm", "ln_1", "ln_2", "ln_cross_attn",
    "layernorm_before", "layernorm_after", "layer_norm1", "layer_norm2", "norm1", "norm2",
    "attn_norm", "mlp_norm",
}  # fmt: skip


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
    BART calls a function, T5 has it outside of the block, and ViT and Swin have one dropout module
    for both sublayers of a layer.
    In BART's decoder the first sublayer is meant; cross-attention has no end here.

    Raises:
        ValueError: a layer has no such sublayers, or the range leaves the model.
    """
    own = surgery.linears(model)
    return [_ends(model, own[index]) for index in surgery.select_layers(model, chosen)]


def ending_norm(model: nn.Module, ends: SublayerEnds) -> str | None:
    """Return the LayerNorm that ends the layer; None: the layer's output is the residual's sum.

    Raises:
        ValueError: which of the two it is cannot be told from the layer's modules.
    """
    home = ends.ffn.rpartition(".")[0]
    if ends.norm is not None and (home != ends.layer or surgery.family(model) in _NORM_BEHIND):
        return ends.norm
    children = model.get_submodule(ends.layer).named_children()
    norms = [name for name, child in children if "norm" in type(child).__name__.lower()]
    if norms and set(norms) <= _BEFORE and surgery.family(model) not in _RENAMED:
        return None
    raise ValueError(
        f"no LayerNorm was found of which it is known that it ends {ends.layer}, or that none does "
        f"(it has {', '.join(norms) or 'none'}); houlsby needs no norm"
    )


def _ends(model: nn.Module, own: surgery.LayerLinears) -> SublayerEnds:
    from torch import nn

    attention = [n for n in own.attention if not _CROSS.search(n) and _last(n) in _OUTPUTS]
    if not attention:
        raise ValueError(f"no output projection of attention was found in {own.layer}")
    width = surgery.linear_shape(model.get_submodule(f"{own.layer}.{attention[-1]}"))[1]
    ffn = [
        name
        for name in own.ffn
        if not {*name.split(".")} & GATES
        and surgery.linear_shape(model.get_submodule(f"{own.layer}.{name}"))[1] == width
    ]
    if not ffn or any("expert" in name for name in ffn):
        found = f"that of experts ({ffn[0]}) only" if ffn else "none"
        raise ValueError(f"no output layer of the feed-forward block was found: {own.layer} has "
                         f"{found}")  # fmt: skip
    end = f"{own.layer}.{ffn[-1]}"
    norms = _siblings(model, end, lambda module: isinstance(module, nn.LayerNorm))
    return SublayerEnds(
        layer=own.layer,
        width=width,
        attention=_after_dropout(model, f"{own.layer}.{attention[-1]}"),
        ffn=_after_dropout(model, end),
        norm=norms[-1] if norms else None,
    )


_OUTPUTS = PROJECTIONS["output"]


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _after_dropout(model: nn.Module, projection: str) -> str:
    """Return the dropout of what the projection puts out, where it is known that it is that."""
    from torch import nn

    block = model.get_submodule(projection.rpartition(".")[0])
    dropouts = _siblings(model, projection, lambda module: isinstance(module, nn.Dropout))
    alone = sum(surgery.is_linear(child) for child in block.children()) == 1  # BERT's output blocks
    own = alone or _DROPS_OUTPUT.fullmatch(type(block).__name__)
    behind = dropouts if own else [name for name in dropouts if name.endswith(".resid_dropout")]
    return behind[-1] if behind else projection


def _siblings(model: nn.Module, name: str, fits: Callable[[nn.Module], bool]) -> list[str]:
    """Return the modules that fit in the block that holds `name`, in order of definition."""
    block = name.rpartition(".")[0]
    children = model.get_submodule(block).named_children()
    return [f"{block}.{key}" for key, child in children if fits(surgery.unwrap(child))]
