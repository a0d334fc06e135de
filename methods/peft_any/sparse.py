"""Sparse matrices without values: dense tensors of the sizes that torch's sparse ones would have.

Tensors without values have no sparse kernels, and a sparse matrix's only use here is to be added to
a dense one or multiplied by it. What the CUDA kernels need inside is small (positions as one
number each) and left out, but for sums of two types.
Source: aten/src/ATen/native/sparse, torch 2.13; FunctionsManual.cpp for gradients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional


class _Add(Function):
    """`dense += sparse`, with the gradient of the sparse one's values."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, values: Tensor, places: Tensor) -> Tensor:
        ctx.mark_dirty(dense)
        ctx.save_for_backward(values, places)
        if dense.is_meta and dense.dtype != values.dtype:  # the kernel sums in the wider type
            torch.empty_like(dense, dtype=values.dtype).copy_(dense.to(values.dtype))
        return dense

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        values, _ = ctx.saved_tensors
        (grad,) = grads
        as_values = grad.to(values.dtype)
        return grad, as_values.new_empty(values.shape), None


class _Spread(Function):
    """A sparse matrix as a dense one."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, places: Tensor, rows: int, columns: int) -> Tensor:
        ctx.save_for_backward(values, places)
        return values.new_zeros((rows, columns))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        values, _ = ctx.saved_tensors
        return grads[0].new_empty(values.shape), None, None, None


class _Product(Function):
    """Sparse (m, k) times dense (k, n)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, places: Tensor, rows: int, dense: Tensor) -> Tensor:
        ctx.save_for_backward(values, places, dense)
        return dense.new_empty((rows, dense.shape[1]))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        values, _, dense = ctx.saved_tensors
        (grad,) = grads
        product = grad.mm(dense.t())
        of_values = product.new_empty(values.shape)
        del product
        return of_values, None, None, dense.new_empty(dense.shape)


def _apply(function: Any, *given: Any) -> Any:
    return function.apply(*given)


class Sparse(NamedTuple):
    """A matrix of which only some values are held: `values` (n) at `places` (2, n)."""

    values: Tensor
    places: Tensor
    rows: int
    columns: int

    def coalesce(self) -> Sparse:
        """Return the same in order of places: new tensors."""
        return self._replace(values=self.values.clone(), places=self.places.clone())

    def dense(self) -> Tensor:
        """Return it as a dense matrix."""
        out: Tensor = _apply(_Spread, self.values, self.places, self.rows, self.columns)
        return out

    def times(self, dense: Tensor) -> Tensor:
        """Return its product with a dense matrix."""
        out: Tensor = _apply(_Product, self.values, self.places, self.rows, dense)
        return out

    def added_to(self, dense: Tensor) -> Tensor:
        """Return the dense matrix, to which this one was added in place."""
        out: Tensor = _apply(_Add, dense, self.values, self.places)
        return out


def shira_forward(layer: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Stand in for SHiRA's forward: a copy of the base weight to which each adapter is added."""
    if layer.disable_adapters or layer.merged:
        plain: Tensor = layer.base_layer(x, *args, **kwargs)
        return plain
    weight = layer.get_base_weight().clone()
    for name in layer.active_adapters:
        if name in layer.shira_weight:
            values = layer.shira_weight[name] * layer.scaling[name]
            places = layer.shira_indices[name].to(torch.int64)
            weight = Sparse(values, places, *weight.shape).added_to(weight)
    return functional.linear(x, weight, layer.base_layer.bias)


def frod_tensors(
    layer: Any, adapter: str, *, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Sparse, Tensor]:
    """Stand in for FRoD's look-up of U, V, S and lambda on the input's device."""
    u, v = (held[adapter].to(device=device, dtype=dtype) for held in (layer.frod_U, layer.frod_V))
    places = layer.frod_s_indices[adapter].to(device=device)
    values = layer.frod_lambda_s_values[adapter].to(device=device, dtype=dtype)
    diagonal = layer.frod_lambda_l[adapter].to(device=device, dtype=dtype)
    return u, v, Sparse(values, places, *v.shape).coalesce(), diagonal


def frod_product(layer: Any, rows: Tensor, sparse: Sparse) -> Tensor:
    """Stand in for FRoD's product of rows (n, d) with S, densified for 16-bit types."""
    if not sparse.values.numel():
        return torch.zeros_like(rows)
    if rows.dtype in (torch.float16, torch.bfloat16):
        return rows @ sparse.dense().t()
    return sparse.times(rows.t()).t()
