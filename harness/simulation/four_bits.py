"""Layers on 4-bit weights without values, as `quantized.py` tells of them."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.metering.launches import launch

if TYPE_CHECKING:
    from harness.models.quantized import Quantization

BLOCK, NESTED_BLOCK = 64, 256  # numbers, and scales, that share a scale
FUSED_ROWS = 4  # up to which CUDA's forward makes no weight, on every card


class State(NamedTuple):
    """What bitsandbytes calls QuantState.

    Attributes:
        absmax: the largest of each block, fp32; if nested, 8 bits.
        code: the 16 numbers that there are (of nested scales 256).
        offset: mean of the scales, if nested.
        state2: of the nested scales.
    """

    absmax: Tensor
    code: Tensor
    offset: Tensor | None = None
    state2: State | None = None


class FourBits:
    """What Linear4bit holds and does."""

    in_features: int
    out_features: int
    weight: nn.Parameter
    bias: nn.Parameter | None

    def fill(self, how: Quantization, device: torch.device, cuda: bool) -> None:
        """Make what the layer holds."""
        self.compute_dtype, self.cuda = how.compute, cuda
        size = self.in_features * self.out_features
        weight: Any = nn.Parameter(
            torch.empty((-(-size // 2), 1), dtype=torch.uint8, device=device), requires_grad=False
        )
        weight.compress_statistics, weight.quant_type = how.double, how.kind
        weight.quant_state = _state(-(-size // BLOCK), how.double, device)
        self.weight = weight

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # peft copies a layer to read it, and a parameter's copy has none of its attributes.
        memo[id(self)] = copied = copy(self)
        return copied

    def forward(self, x: Tensor) -> Tensor:
        """Return x W + b: (..., d_out), in the type of x."""
        bias = None if self.bias is None else self.bias.to(self.compute_dtype)
        out: Tensor = _FourBitProduct.apply(  # type: ignore[no-untyped-call]
            x.to(self.compute_dtype), self, bias
        )
        return out.to(x.dtype)

    def scales(self) -> Tensor:
        """Return the scales in fp32."""
        state: State = self.weight.quant_state  # type: ignore[attr-defined]
        if state.state2 is None:
            return state.absmax
        scales = torch.empty_like(state.absmax, dtype=torch.float32)
        launch("bitsandbytes::dequantize_blockwise", [state.absmax], [scales])
        return scales

    def whole(self) -> Tensor:
        """Return the weight as peft reads it, in the type that it was loaded in."""
        scales = self.scales()
        weight = self.dequantized(self.compute_dtype)
        del scales
        return weight

    def dequantized(self, dtype: torch.dtype) -> Tensor:
        """Return the weight: (d_out, d_in)."""
        weight = self.weight.new_empty((self.out_features, self.in_features), dtype=dtype)
        state: State = self.weight.quant_state  # type: ignore[attr-defined]
        launch("bitsandbytes::dequantize_4bit", [self.weight, state.absmax], [weight])
        return weight


class _FourBitProduct(torch.autograd.Function):
    """MatMul4Bit."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Any, bias: Tensor | None) -> Tensor:
        ctx.layer = layer
        if layer.cuda and x.numel() <= FUSED_ROWS * x.shape[-1]:
            out = x.new_empty((*x.shape[:-1], layer.out_features))
            flops = 2 * x.numel() * layer.out_features
            launch("bitsandbytes::gemm_4bit", [x, layer.weight], [out], flops=flops)
            return out
        scales = layer.scales()
        if layer.cuda:  # the mean is added out of place, and both live on
            scales = (scales, layer.scales())
        out = functional.linear(x, layer.dequantized(x.dtype), bias)
        del scales
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.needs_input_grad[0]:
            return None, None, None
        return torch.matmul(grad, ctx.layer.whole().to(grad.dtype)), None, None


def _state(blocks: int, double: bool, device: torch.device) -> State:
    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=device)

    if not double:
        return State(empty(blocks), empty(16))
    nested = State(empty(-(-blocks // NESTED_BLOCK)), empty(256))
    return State(empty(blocks, dtype=torch.uint8), empty(16), empty(), nested)
