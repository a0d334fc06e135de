"""Layers on 8-bit weights without values, as `quantized.py` tells of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.metering.launches import launch
from harness.models.quantized import THRESHOLD

if TYPE_CHECKING:
    from harness.models.quantized import Quantization

EIGHTH = 1.0 / 127.0


class EightBits:
    """What Linear8bitLt holds and does."""

    in_features: int
    out_features: int
    weight: nn.Parameter
    bias: nn.Parameter | None
    training: bool

    def fill(self, how: Quantization, device: torch.device, cuda: bool) -> None:
        """Make what the layer holds."""
        shape = (self.out_features, self.in_features)
        weight = torch.empty(shape, dtype=torch.int8, device=device)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.cuda, self.index = cuda, None
        scales = torch.empty(self.out_features, dtype=torch.float32, device=device)
        self.state = SimpleNamespace(
            CB=self.weight.data, SCB=scales, has_fp16_weights=False, threshold=THRESHOLD
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return x W + b: (..., d_out), in the type of x."""
        if self.bias is not None and self.bias.dtype != x.dtype:
            self.bias.data = self.bias.data.to(x.dtype)
        product = _MixedProduct if self.cuda or not self.training else _EightBitProduct
        out: Tensor = product.apply(x, self, self.bias)  # type: ignore[no-untyped-call]
        return out

    def whole(self) -> Tensor:
        """Return the weight as peft reads it, in fp32."""
        product = self.weight.new_empty(self.weight.shape, dtype=torch.float32)
        return torch.empty_like(product)

    def dequantized(self, dtype: torch.dtype) -> Tensor:
        """Return the weight: (d_out, d_in)."""
        scales = self.state.SCB.unsqueeze(1).mul(EIGHTH)
        weight: Tensor = self.state.CB.to(dtype, copy=True).mul_(scales)
        return weight


class _EightBitProduct(torch.autograd.Function):
    """MatMul8bitFp."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Any, bias: Tensor | None) -> Tensor:
        out = functional.linear(x, layer.dequantized(x.dtype), bias)
        ctx.layer, ctx.x = layer, x
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _of_input(ctx, grad, ctx.x.shape), None, None


class _MixedProduct(torch.autograd.Function):
    """MatMul8bitLt."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Any, bias: Tensor | None) -> Tensor:
        shape = (*x.shape[:-1], layer.out_features)
        ctx.layer, ctx.x, ctx.shape = layer, None, x.shape
        x = x.reshape(-1, x.shape[-1])
        rows = _by_rows(x.to(torch.float16), layer)
        out = _summed(rows, layer, x.dtype)
        if ctx.needs_input_grad[0]:
            ctx.x = x
        return out.reshape(shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _of_input(ctx, grad, ctx.shape), None, None


def _of_input(ctx: Any, grad: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Return the gradient of a product's input of this shape: by the weight, made once more."""
    if not ctx.needs_input_grad[0]:
        return None
    rows = grad.reshape(-1, grad.shape[-1]).contiguous()
    weight = ctx.layer.dequantized(ctx.x.dtype)
    return torch.matmul(rows.to(ctx.x.dtype), weight).view(shape)


def _by_rows(x: Tensor, layer: Any) -> tuple[Tensor, Tensor]:
    """Stand for int8_vectorwise_quant: the rows in 8 bits, and their scales."""
    scales = x.new_empty(x.shape[0], dtype=torch.float32)
    rows = x.new_empty(x.shape, dtype=torch.int8)
    if layer.cuda:
        outliers = x.abs() >= THRESHOLD
        del outliers
    launch("bitsandbytes::int8_vectorwise_quant", [x], [rows, scales])
    return rows, scales


def _summed(rows: tuple[Tensor, Tensor], layer: Any, dtype: torch.dtype) -> Tensor:
    """Stand for int8_scaled_mm: products summed in int32, read out in fp16, in the asked type."""
    shape = (rows[0].shape[0], layer.out_features)
    flops = 2 * rows[0].numel() * layer.out_features
    if not layer.cuda:
        out = rows[0].new_empty(shape, dtype=dtype)
        launch("bitsandbytes::int8_mixed_scaled_mm", [rows[0], layer.state.CB], [out], flops=flops)
        return out
    sums = rows[0].new_empty(shape, dtype=torch.int32)
    launch("bitsandbytes::int8_linear_matmul", [rows[0], layer.state.CB], [sums], flops=flops)
    out = torch.empty_like(sums, dtype=torch.float16)
    launch("bitsandbytes::int8_mm_dequant", [sums], [out])
    return out.to(dtype)
