"""AFLoRA's layer: low-rank projections between two trained vectors, around a linear layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from methods.common.low_rank import LowRankLayer

if TYPE_CHECKING:
    from torch import Tensor


class AfloraLayer(LowRankLayer):
    """y = base(x) + factor s_b * (B (s_d * (A drop(x)))), its own tensors in float32.

    Per token, autograd keeps d_in floats for A and r for B where they train, r for s_d and d_out
    for s_b. What a skipped layer keeps is nothing.

    Args:
        base_layer: nn.Linear or GPT-2's Conv1D, frozen.
        r: rank.
        adaptive: A and B train; else they are buffers.
        factor: of what is added to the base layer's output.
        dropout: probability, on the input of A only.
        d_initial: start value of s_d.

    Attributes:
        A: (r, d_in), Kaiming-uniform with bound sqrt(6 / d_in).
        B: (d_out, r), Kaiming-uniform with bound sqrt(6 / r).
        s_d: (r,).
        s_b: (d_out,), zeros at first, so that training starts at the base layer.
    """

    A: Tensor
    B: Tensor

    def __init__(
        self,
        base_layer: nn.Module,
        r: int,
        *,
        adaptive: bool,
        factor: float = 1.0,
        dropout: float = 0.0,
        d_initial: float = 0.1,
    ) -> None:
        super().__init__(base_layer, factor, dropout)
        device = base_layer.get_parameter("weight").device
        shapes = {"A": (r, self.in_features), "B": (self.out_features, r)}
        for name, shape in shapes.items():
            tensor = nn.init.kaiming_uniform_(
                torch.empty(shape, dtype=torch.float32, device=device)
            )
            if adaptive:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)
        self.s_d = nn.Parameter(torch.full((r,), d_initial, dtype=torch.float32, device=device))
        self.s_b = nn.Parameter(torch.zeros(shapes["B"][0], dtype=torch.float32, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """Return the output, (..., d_out) in the base layer's dtype, for x (..., d_in)."""
        result: Tensor = self.base_layer(x)
        if self.skipped:
            return result
        hidden = functional.linear(self.drop(x.to(self.A.dtype)), self.A)
        if self.factor != 1:
            hidden = self.factor * hidden  # here, where it is smallest
        hidden = functional.linear(self.s_d * hidden, self.B)
        return result + (self.s_b * hidden).to(result.dtype)

    def delta(self) -> Tensor:
        """Return what the layer adds to the base weight: (d_out, d_in), factor included."""
        return (self.factor * self.s_b[:, None] * self.B * self.s_d) @ self.A
