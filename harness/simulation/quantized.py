"""Linear layers on quantised weights, on tensors without values: bitsandbytes' bytes and calls.

bitsandbytes' own parameters refuse tensors without values. These layers hold storages of the same
sizes and make the same tensors in the same order. Read in bitsandbytes 0.50 (nn/modules.py,
autograd/_functions.py, backends/cuda, backends/default):

| bits | on   | in forward                                           | in backward               |
|------|------|------------------------------------------------------|---------------------------|
| 4    | both | the input in the compute type, the output in the     | the scales in fp32; the   |
|      |      | input's; nothing is kept                             | weight as it was loaded,  |
|      |      |                                                      | then in the gradient's    |
|      | CPU  | scales in fp32, the weight in the compute type       | type                      |
|      | CUDA | the same, of scales two copies; up to 4 rows neither |                           |
| 8    | both | the input is kept, behind autograd's back:           | the weight in the input's |
|      |      | checkpointing without reentry does not free it       | type                      |
|      | CPU  | the weight in the input's type                       |                           |
|      | CUDA | input in fp16, its absolute values and outliers, and |                           |
|      |      | in int8; sums in int32, result in fp16, then in the  |                           |
|      |      | input's type                                         |                           |

From 5 to 1,536 rows CUDA's 4-bit forward has a kernel that makes no weight, and takes it where it
is faster on the card; here the weight is made, as in every version up to 0.49. No column of an
8-bit layer's input has outliers here: how many there are only values tell.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness.models.quantized import THRESHOLD, Quantization, frozen_bias
from methods import surgery

if TYPE_CHECKING:
    from harness.simulation.target import Target

BLOCK, NESTED_BLOCK = 64, 256  # numbers, and scales, that share a scale
FUSED_ROWS = 4  # up to which CUDA's 4-bit forward makes no weight, on every card
EIGHTH = 1.0 / 127.0


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


class StandIns:
    """Makes the layers of a target that take linear layers' places."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def __call__(self, linear: nn.Module, how: Quantization) -> nn.Module:
        """Return the quantised layer of a linear layer."""
        kind = _kind(how.kind == "int8")
        with torch.device("meta"):
            layer = kind(*surgery.linear_shape(linear), bias=False)
        layer.bias = frozen_bias(linear, how)
        layer.fill(how, linear.get_parameter("weight").device, self.target.kind == "cuda")
        made: nn.Module = layer
        return made


def _kind(eight: bool) -> Any:
    """Return the class of layers: peft asks for bitsandbytes' class, and so they are of it."""
    import bitsandbytes

    if eight:
        return _both(_EightBits, bitsandbytes.nn.Linear8bitLt)
    return _both(_FourBits, bitsandbytes.nn.Linear4bit)


@cache
def _both(own: type, base: type) -> Any:
    return type(base.__name__, (own, base), {"__init__": nn.Linear.__init__})


class _FourBits:
    """Linear4bit."""

    in_features: int
    out_features: int
    weight: nn.Parameter
    bias: nn.Parameter | None

    def fill(self, how: Quantization, device: torch.device, cuda: bool) -> None:
        """Make what the layer holds."""
        self.compute_dtype, self.cuda = how.compute, cuda
        size = self.in_features * self.out_features
        weight: Any = _frozen((-(-size // 2), 1), torch.uint8, device)
        weight.compress_statistics, weight.quant_type = how.double, how.kind
        weight.quant_state = _state(-(-size // BLOCK), how.double, device)
        self.weight = weight

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
        return torch.empty_like(state.absmax, dtype=torch.float32)

    def dequantized(self, dtype: torch.dtype) -> Tensor:
        """Return the weight: (d_out, d_in)."""
        return self.weight.new_empty((self.out_features, self.in_features), dtype=dtype)


class _FourBitProduct(torch.autograd.Function):
    """MatMul4Bit."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Any, bias: Tensor | None) -> Tensor:
        ctx.layer = layer
        if layer.cuda and x.numel() <= FUSED_ROWS * x.shape[-1]:
            return x.new_empty((*x.shape[:-1], layer.out_features))
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
        scales = ctx.layer.scales()
        weight = ctx.layer.dequantized(ctx.layer.compute_dtype)
        del scales
        weight = weight.to(grad.dtype)
        return torch.matmul(grad, weight), None, None


class _EightBits:
    """Linear8bitLt."""

    in_features: int
    out_features: int
    weight: nn.Parameter
    bias: nn.Parameter | None
    training: bool

    def fill(self, how: Quantization, device: torch.device, cuda: bool) -> None:
        """Make what the layer holds."""
        shape = (self.out_features, self.in_features)
        self.weight, self.cuda, self.index = _frozen(shape, torch.int8, device), cuda, None
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
        if not ctx.needs_input_grad[0]:
            return None, None, None
        rows = grad.reshape(-1, grad.shape[-1]).contiguous()
        weight = ctx.layer.dequantized(ctx.x.dtype)
        return torch.matmul(rows.to(ctx.x.dtype), weight).view(ctx.x.shape), None, None


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
        if not ctx.needs_input_grad[0]:
            return None, None, None
        rows = grad.reshape(-1, grad.shape[-1]).contiguous()
        weight = ctx.layer.dequantized(ctx.x.dtype)
        return torch.matmul(rows.to(ctx.x.dtype), weight).view(ctx.shape), None, None


def _by_rows(x: Tensor, layer: Any) -> tuple[Tensor, Tensor]:
    """Stand for int8_vectorwise_quant: the rows in 8 bits, and their scales."""
    scales = x.new_empty(x.shape[0], dtype=torch.float32)
    rows = x.new_empty(x.shape, dtype=torch.int8)
    if layer.cuda:
        outliers = x.abs() >= THRESHOLD
        del outliers
    return rows, scales


def _summed(rows: tuple[Tensor, Tensor], layer: Any, dtype: torch.dtype) -> Tensor:
    """Stand for int8_scaled_mm: products summed in int32, read out in fp16, in the asked type."""
    shape = (rows[0].shape[0], layer.out_features)
    if not layer.cuda:
        return rows[0].new_empty(shape, dtype=dtype)
    sums = rows[0].new_empty(shape, dtype=torch.int32)
    return torch.empty_like(sums, dtype=torch.float16).to(dtype)


def _state(blocks: int, double: bool, device: torch.device) -> State:
    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=device)

    if not double:
        return State(empty(blocks), empty(16))
    nested = State(empty(-(-blocks // NESTED_BLOCK)), empty(256))
    return State(empty(blocks, dtype=torch.uint8), empty(16), empty(), nested)


def _frozen(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape, dtype=dtype, device=device), requires_grad=False)
