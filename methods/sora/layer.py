"""SoRA's layer: a low-rank adapter with a trained gate for every rank, around a linear layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from methods.base import Resized
from methods.common.low_rank import LowRankLayer

if TYPE_CHECKING:
    from torch import Tensor

# The dimension along which each tensor has its ranks.
RANKS = {"A": 0, "g": 1, "B": 1}


class SoraLayer(LowRankLayer):
    """y = base(x) + factor B ((A drop(x)) * g), its own tensors in float32.

    Per token, autograd keeps d_in floats for A and r each for g and for B. What a skipped layer
    keeps is nothing.

    Args:
        base_layer: nn.Linear or GPT-2's Conv1D, frozen.
        r: rank.
        factor: of what is added to the base layer's output; it stays when ranks are dropped.
        dropout: probability, on the input of A only.

    Attributes:
        A: (r, d_in), Kaiming-uniform with bound 1/sqrt(d_in).
        g: (1, r), standard normal.
        B: (d_out, r), zeros at first, so that training starts at the base layer.
    """

    def __init__(
        self, base_layer: nn.Module, r: int, *, factor: float, dropout: float = 0.0
    ) -> None:
        super().__init__(base_layer, factor, dropout)

        def empty(*shape: int) -> nn.Parameter:
            device = base_layer.get_parameter("weight").device
            return nn.Parameter(torch.empty(shape, dtype=torch.float32, device=device))

        self.A = empty(r, self.in_features)
        self.g = empty(1, r)
        self.B = empty(self.out_features, r)
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        nn.init.normal_(self.g)
        nn.init.zeros_(self.B)

    @property
    def rank(self) -> int:
        """Ranks that the layer holds, whatever their gates."""
        return self.g.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        """Return the output, (..., d_out) in the base layer's dtype, for x (..., d_in)."""
        result: Tensor = self.base_layer(x)
        if self.skipped:
            return result
        hidden = functional.linear(self.drop(x.to(self.A.dtype)), self.A)
        hidden = hidden * (self.factor * self.g)
        return result + functional.linear(hidden, self.B).to(result.dtype)

    def keep(self, ranks: Tensor) -> list[Resized]:
        """Drop every rank whose index is not in `ranks` (int64, one dimension, ascending)."""
        changed = []
        for name, dim in RANKS.items():
            old = self.get_parameter(name)
            new = nn.Parameter(old.detach().index_select(dim, ranks), old.requires_grad)
            self.register_parameter(name, new)
            changed.append(Resized(old, new, dim, ranks))
        return changed

    def delta(self) -> Tensor:
        """Return what the layer adds to the base weight: (d_out, d_in), factor included."""
        return (self.factor * self.g * self.B) @ self.A
