"""What layers that add a low-rank product to a frozen linear layer have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from methods.surgery import linear_shape

if TYPE_CHECKING:
    from torch import Tensor


class LowRankLayer(nn.Module):
    """base(x) plus something that is linear in x and can be added to the base weight.

    Args:
        base_layer: nn.Linear or GPT-2's Conv1D, frozen.
        factor: of what is added to the base layer's output.
        dropout: probability, on the input of the adapter only.

    Attributes:
        skipped: run the base layer only.
    """

    def __init__(self, base_layer: nn.Module, factor: float, dropout: float) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.in_features, self.out_features = linear_shape(base_layer)
        self.factor = factor
        self.skipped = False
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()

    @property
    def weight(self) -> Tensor:
        """The base layer's weight, for code that reads its dtype or device."""
        return self.base_layer.get_parameter("weight")

    @property
    def bias(self) -> Tensor | None:
        """The base layer's bias."""
        bias: Tensor | None = self.base_layer.bias  # type: ignore[assignment]
        return bias

    def delta(self) -> Tensor:
        """Return what the layer adds to the base weight: (d_out, d_in), factor included."""
        raise NotImplementedError

    @torch.no_grad()
    def merged_base(self) -> nn.Module:
        """Add `delta` to the base weight, computed in float32, and return the base layer."""
        delta = self.delta()
        if isinstance(self.base_layer, Conv1D):  # stores (d_in, d_out)
            delta = delta.T
        self.weight.copy_(self.weight.float() + delta)
        return self.base_layer
