"""Houlsby adapters (Houlsby et al., 2019): two bottlenecks in every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from methods.bottleneck.method import BottleneckMethod
from methods.bottleneck.options import Activation
from methods.common import folding

if TYPE_CHECKING:
    from torch import nn

    from methods.bottleneck.ends import SublayerEnds


class Houlsby(BottleneckMethod):
    """z + U phi(D z) behind self-attention and behind the feed-forward block.

    z is the sublayer's output after its dropout, before the residual is added and before any
    LayerNorm. BART calls dropout as a function, ViT and Swin share one dropout module between two
    sublayers, and T5 has it outside of the block: there the adapter sits before the dropout. A
    decoder has its adapters behind self-attention and the feed-forward block, none behind
    cross-attention.

    Defaults are adapter-hub's (DoubleSeqBnConfig): reduction 16, swish, N(0, 0.02), LayerNorms
    frozen. The original draws from a truncated N(0, 0.01) (init: houlsby) and trains LayerNorms
    (train_layernorm; here those of the layers, not the one of the embeddings).
    """

    name: ClassVar[str] = "houlsby"

    activation: Activation = Field("swish", description="phi")

    def insert(self, model: nn.Module, ends: SublayerEnds) -> None:
        """Wrap the last module of both sublayers."""
        from methods.bottleneck.layer import AdaptedSublayer

        for name in (ends.attention, ends.ffn):
            adapted = AdaptedSublayer(model.get_submodule(name), self.build(model, ends))
            folding.replace_module(model, name, adapted)

    def per_layer(self) -> int:
        """Return 2."""
        return 2
