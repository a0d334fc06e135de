"""One projection that several share, as layers of their own.

GPT-2 makes query, key and value with one matrix. What adapts the query alone needs it apart: the
published recipe of LoRA for GPT-2 (loralib's MergedLinear) adapts two of the three.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from methods import surgery

if TYPE_CHECKING:
    from methods.architectures import Layout


class Slices(nn.Module):
    """Layers on one input, whose outputs are put together as the one layer has them.

    Args:
        fused: the layer that does the same in one; its rows (of a Conv1D: columns) are copied,
            part by part.
        layout: of its outputs.
    """

    def __init__(self, fused: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        for name in layout.names:
            weight, bias = fused.get_parameter("weight"), getattr(fused, "bias", None)
            self.add_module(name, _like(
                fused,
                part_of(weight, layout, name, outputs_dim(fused)),
                None if bias is None else part_of(bias, layout, name, 0),
            ))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., widths of all parts)."""
        return joined([part(x) for part in self.children()], self.layout, -1)


def part_of(tensor: Tensor, layout: Layout, name: str, dim: int) -> Tensor:
    """Return what one part has of a tensor whose dimension `dim` is all of the outputs."""
    place, unit = layout.names.index(name), tensor.shape[dim] // layout.groups // sum(layout.units)
    start, size = sum(layout.units[:place]) * unit, layout.units[place] * unit
    if layout.groups == 1:
        return tensor.narrow(dim, start, size)
    dim %= tensor.dim()
    return _grouped(tensor, layout, dim).narrow(dim + 1, start, size).flatten(dim, dim + 1)


def joined(parts: Sequence[Tensor], layout: Layout, dim: int) -> Tensor:
    """Undo `part_of`: put the parts together along `dim`."""
    if layout.groups == 1:
        return torch.cat(list(parts), dim=dim)
    dim %= parts[0].dim()
    apart = [_grouped(part, layout, dim) for part in parts]
    return torch.cat(apart, dim=dim + 1).flatten(dim, dim + 1)


def _grouped(tensor: Tensor, layout: Layout, dim: int) -> Tensor:
    """Return the same with `dim` as (groups, width of one)."""
    sizes = tensor.shape
    return tensor.reshape(
        *sizes[:dim], layout.groups, sizes[dim] // layout.groups, *sizes[dim + 1 :]
    )


def opened(model: nn.Module, names: Sequence[str]) -> list[str]:
    """Make a layer of each of `names`, as `surgery.target_modules` has them, and return them.

    Every layer that they ask a part of becomes `Slices`, in place.

    Raises:
        ValueError: a layer is asked for both whole and in parts.
    """
    for name in names:
        home, layout = home_of(model, name)
        if layout is None:
            continue
        if home in names:
            raise ValueError(f"targets take {home} both whole and in parts ({name})")
        module = model.get_submodule(home)
        if surgery.is_quantized(module):
            raise ValueError(
                f"targets take {home} apart ({name}), which is quantised: name it whole, such as "
                f"targets: [{home.rpartition('.')[2]}]"
            )
        if not isinstance(module, Slices):
            _replace(model, home, Slices(module, layout))
    return list(names)


def is_part(model: nn.Module, name: str) -> bool:
    """Tell whether a target is a part of a layer that is several in one."""
    return home_of(model, name)[1] is not None


def shape_at(model: nn.Module, name: str) -> tuple[int, int]:
    """Return (d_in, d_out) of a target, which may be a part of a layer that is still in one."""
    home, layout = home_of(model, name)
    if layout is not None and not isinstance(model.get_submodule(home), Slices):
        d_in, d_out = surgery.linear_shape(model.get_submodule(home))
        place = layout.names.index(name.rpartition(".")[2])
        return d_in, d_out // sum(layout.units) * layout.units[place]
    return surgery.linear_shape(model.get_submodule(name))


def home_of(model: nn.Module, name: str) -> tuple[str, Layout | None]:
    """Return the name of the layer that a target is part of, and its layout; none: no part."""
    home, _, part = name.rpartition(".")
    layout = surgery.fused_layout(model, home)
    return home, layout if layout is not None and part in layout.names else None


def put_together(model: nn.Module) -> nn.Module:
    """Turn `Slices` of plain layers back into the layers that they were, in place."""
    for name, module in list(model.named_modules()):
        parts = list(module.children())
        if not isinstance(module, Slices) or not all(surgery.is_linear(p) for p in parts):
            continue
        if any(surgery.unwrap(part) is not part for part in parts):
            continue
        first = parts[0]
        weights = [part.get_parameter("weight") for part in parts]
        weight = joined(weights, module.layout, outputs_dim(first))
        bias = None
        if getattr(first, "bias", None) is not None:
            bias = joined([part.get_parameter("bias") for part in parts], module.layout, 0)
        _replace(model, name, _like(first, weight, bias))
    return model


def outputs_dim(layer: nn.Module) -> int:
    """Return which dimension of a layer's weight is its outputs."""
    return 1 if surgery.stores_transposed(layer) else 0


def _like(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Return a layer of this one's class with copies of these tensors; nothing is drawn for it."""
    with torch.device("meta"):
        if isinstance(layer, Conv1D):
            new: nn.Module = Conv1D(weight.shape[1], weight.shape[0])
        else:
            kind: type[nn.Linear] = type(layer)  # type: ignore[assignment]
            new = kind(weight.shape[1], weight.shape[0], bias=bias is not None)
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None:
            copied = tensor.detach().clone(memory_format=torch.contiguous_format)
            setattr(new, name, nn.Parameter(copied, requires_grad=tensor.requires_grad))
    return new


def _replace(model: nn.Module, name: str, new: nn.Module) -> None:
    home, _, key = name.rpartition(".")
    setattr(model.get_submodule(home), key, new)
