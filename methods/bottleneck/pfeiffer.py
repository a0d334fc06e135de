"""Pfeiffer adapters (Pfeiffer et al., 2021): one bottleneck at the end of every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from methods.bottleneck.ends import ending_norm
from methods.bottleneck.method import BottleneckMethod
from methods.common import folding

if TYPE_CHECKING:
    from torch import nn

    from methods.bottleneck.ends import SublayerEnds


class Pfeiffer(BottleneckMethod):
    """LN(s + U phi(D LN(s))), with s the feed-forward block's output plus the residual.

    LN is the layer's own last LayerNorm, which runs twice. Models that normalise before their
    sublayers (GPT-2, LLaMA, ViT, Swin) have none there: their layers put out s + U phi(D s).

    Defaults are adapter-hub's (SeqBnConfig with original_ln_before, original_ln_after and
    residual_before_ln): reduction 16, ReLU, N(0, 0.02), LayerNorms frozen.
    """

    name: ClassVar[str] = "pfeiffer"

    def insert(self, model: nn.Module, ends: SublayerEnds) -> None:
        """Wrap the LayerNorm that ends the layer, or adapt the layer's output."""
        from methods.bottleneck.layer import AdaptedNorm, adapt_output

        adapter = self.build(model, ends)
        norm = ending_norm(model, ends)
        if norm is None:
            adapt_output(model.get_submodule(ends.layer), adapter)
        else:
            adapted = AdaptedNorm(model.get_submodule(norm), adapter)
            folding.replace_module(model, norm, adapted)

    def per_layer(self) -> int:
        """Return 1."""
        return 1
