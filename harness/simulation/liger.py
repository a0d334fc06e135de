"""The package Liger on tensors without values: what its kernels make, keep and write over.

Read in liger-kernel 0.8.5 (liger_kernel/ops):

| kernel        | forward makes                     | kept             | backward makes          |
|---------------|-----------------------------------|------------------|-------------------------|
| rms_norm      | the output, an fp32 root a row    | input, roots     | nothing, or the input's |
|               |                                   |                  | gradient (if not in     |
|               |                                   |                  | place); fp32 sums of a  |
|               |                                   |                  | weight's that trains    |
| swiglu, geglu | the product                       | gate and up      | nothing: over both      |
| rope          | nothing: over queries and keys    | cosines, sines   | nothing                 |
| cross_entropy | a loss a row; over the logits     | that gradient    | nothing                 |
|               | their gradient                    |                  |                         |
| fused linear  | gradients of input and weight;    | these gradients  | nothing                 |
| cross-entropy | the logits of a piece of tokens   |                  |                         |

Pieces of the fused loss are `chunk_size` tokens, so that their logits are about as large as the
input. Inputs that are not contiguous are copied first. On Blackwell wide rows are tiled, which
takes no other memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.autograd import Function

from harness.errors import UserError
from harness.metering.launches import launch
from harness.simulation.reductions import multiprocessors
from harness.simulation.target import Target
from harness.training import liger

FP32 = torch.float32


@contextmanager
def liger_package(target: Target) -> Iterator[None]:
    """Give `harness.training.liger` these functions for those of the package.

    Raises:
        UserError: the target is none that it has kernels for.
    """
    if target.kind == "cpu":
        raise UserError("train.loss or liger_kernels: Liger's kernels need a GPU; loss: chunked "
                        "does not")  # fmt: skip
    count, _ = multiprocessors(target)
    kernels: Any = {kind: kind.apply for kind in (_RMSNorm, _CrossEntropy, _Fused)}  # untyped
    there = SimpleNamespace(
        rms_norm=lambda x, w, eps, offset, casting, in_place, rows: kernels[_RMSNorm](
            x, w, casting != "none", in_place, count
        ),
        silu_mul=_Product.apply,
        gelu_mul=_Product.apply,
        rope=_Rope.apply,
        cross_entropy=lambda x, wanted, *_: (kernels[_CrossEntropy](x, wanted),),
        fused_linear_cross_entropy=lambda x, w, wanted, bias=None, *_: (
            kernels[_Fused](x, w, wanted, bias, target.capability >= (8, 0)),
        ),
    )
    with mock.patch.object(liger, "functions", return_value=there):
        try:
            yield
        finally:
            liger.restore()


def chunk_size(tokens: int, width: int, vocabulary: int) -> int:
    """Return the tokens of a piece (fused_linear_cross_entropy_forward): a power of 2."""
    pieces = -(-vocabulary // width)
    return min(tokens, 1 << (-(-tokens // pieces) - 1).bit_length())


class _RMSNorm(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, roots32: bool, in_place: bool, count: int
    ) -> Tensor:
        x = x.contiguous()
        rows = x.numel() // x.shape[-1]
        out = torch.empty_like(x)
        roots = x.new_empty(rows, dtype=FP32 if roots32 else x.dtype)
        ctx.save_for_backward(x, weight, roots)
        ctx.in_place, ctx.count = in_place, count
        launch("liger::rms_norm", [x, weight], [out, roots])
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, _ = ctx.saved_tensors
        grad = grad.contiguous()
        trains = ctx.needs_input_grad[1]
        sums = x.new_empty((ctx.count, x.shape[-1]), dtype=FP32) if trains else None
        of_x = grad if ctx.in_place else torch.zeros_like(grad)
        made = [of_x] if sums is None else [of_x, sums]
        launch("liger::rms_norm_backward", [grad, x, weight], made)
        of_weight = None if sums is None else sums.sum(dim=0).to(weight.dtype)
        return of_x.view(x.shape), of_weight, None, None, None


class _Product(Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        gate, up = gate.contiguous(), up.contiguous()
        ctx.save_for_backward(gate, up)
        out = torch.empty_like(gate)
        launch("liger::product", [gate, up], [out])
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        grad.contiguous()
        gate, up = ctx.saved_tensors
        launch("liger::product_backward", [grad, gate, up], [gate, up])
        return gate.view(gate.shape), up.view(up.shape)


class _Rope(Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, positions: Any, dim: int
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(cos.contiguous(), sin.contiguous())
        return _both_turned(q, k)

    @staticmethod
    def backward(ctx: Any, of_q: Tensor, of_k: Tensor) -> tuple[Tensor | None, ...]:
        return *_both_turned(of_q, of_k), None, None, None, None


def _both_turned(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    q, k = _turned(q), _turned(k)
    launch("liger::rope", [q, k], [q, k])
    return q, k


def _turned(heads: Tensor) -> Tensor:
    """Return (B, H, L, D) as it lies when it was turned in place as (B, L, H, D)."""
    return heads.transpose(1, 2).contiguous().transpose(1, 2)


class _CrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, wanted: Tensor) -> Tensor:
        losses = logits.new_zeros(len(logits))
        there = wanted != -100
        for ask in (torch.max, torch.min):
            ask(wanted * there)
        for _ in range(3):  # how many count; whether the largest and the smallest are classes
            launch("aten::_local_scalar_dense", waits=True)
        launch("liger::cross_entropy", [logits, wanted], [logits, losses])
        ctx.save_for_backward(logits.detach())
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (logits,) = ctx.saved_tensors
        _asks_whether_one()
        return logits, None


class _Fused(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, wanted: Tensor, bias: Tensor | None, adds: bool
    ) -> Tensor:
        tokens, width = x.shape
        size = chunk_size(tokens, width, len(weight))
        of_x = torch.zeros_like(x)
        of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        of_bias = None if bias is None else torch.zeros_like(bias)
        losses = x.new_zeros(tokens, dtype=FP32)
        _ = (wanted != -100).sum()
        launch("aten::_local_scalar_dense", waits=True)
        buffer = x.new_empty((size, len(weight))) if _same_type(x, weight) else None
        for start in range(0, tokens, size):
            piece = x[start : start + size]
            if buffer is None:
                logits = piece @ weight.t()
                of_x[start : start + size] = logits @ weight
            else:
                logits = torch.mm(piece, weight.t(), out=buffer[: len(piece)])
                torch.mm(logits, weight, out=of_x[start : start + size])
            launch("liger::cross_entropy", [logits], [logits])
            if of_weight is not None:
                _add_product(of_weight, logits, piece, adds)
            if of_bias is not None:
                of_bias += logits.sum(dim=0)
            del logits, piece
        del buffer
        ctx.save_for_backward(of_x, of_weight, of_bias)
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        of_x, of_weight, of_bias = ctx.saved_tensors
        _asks_whether_one()
        return of_x, of_weight, None, of_bias, None


def _asks_whether_one() -> None:
    """Stand for `torch.equal`: gradients are scaled where the loss's own gradient is not 1."""
    launch("aten::equal", waits=True)


def _same_type(x: Tensor, weight: Tensor) -> bool:
    """Tell whether one buffer of logits serves all pieces (`_can_use_mm_out`)."""
    if x.dtype != weight.dtype:
        return False
    kind = "cuda" if x.is_cuda else "cpu"  # which stands in for it
    return not torch.is_autocast_enabled(kind) or x.dtype == torch.get_autocast_dtype(kind)


def _add_product(total: Tensor, logits: Tensor, piece: Tensor, adds: bool) -> None:
    """Add a piece's part of the weight's gradient: in place in 16 bits, from capability 8.0 on."""
    if adds and logits.dtype != FP32:
        piece = piece.to(logits.dtype)
        if total.dtype == logits.dtype:
            torch.addmm(total, logits.t(), piece, out=total)
        else:  # summed in fp32 by the product itself
            total.add_(0)
            flops = 2 * logits.numel() * piece.shape[1]
            launch("aten::mm", [logits, piece], [total], flops=flops)
        return
    total += torch.mm(logits.t(), piece).float()
