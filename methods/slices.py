"""One projection that several share, as layers of their own.

GPT-2 makes query, key and value with one matrix. What adapts the query alone needs it apart: the
published recipe of LoRA for GPT-2 (loralib's MergedLinear) adapts two of the three.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from methods import surgery


class Slices(nn.Module):
    """Layers of equal width on one input, whose outputs lie side by side.

    Args:
        fused: the layer that does the same in one; its columns are copied, part by part.
        names: of the parts, in their order.
    """

    def __init__(self, fused: Conv1D, names: Sequence[str]) -> None:
        super().__init__()
        width = fused.nf // len(names)
        for index, name in enumerate(names):
            columns = slice(index * width, (index + 1) * width)
            self.add_module(name, _layer(fused.weight[:, columns], fused.bias[columns]))

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., parts x width)."""
        return torch.cat([part(x) for part in self.children()], dim=-1)


def _layer(weight: Tensor, bias: Tensor) -> Conv1D:
    """Return a layer with copies of these tensors; nothing is drawn at random for it."""
    with torch.device("meta"):
        layer = Conv1D(weight.shape[1], weight.shape[0])
    for name, tensor in (("weight", weight), ("bias", bias)):
        copied = nn.Parameter(tensor.detach().clone(), requires_grad=tensor.requires_grad)
        setattr(layer, name, copied)
    return layer


def opened(model: nn.Module, names: Sequence[str]) -> list[str]:
    """Make a layer of each of `names`, as `surgery.target_modules` has them, and return them.

    Every layer that they ask a part of becomes `Slices`, in place.

    Raises:
        ValueError: a layer is asked for both whole and in parts.
    """
    for name in names:
        home, parts = home_of(model, name)
        if not parts:
            continue
        if home in names:
            raise ValueError(f"targets take {home} both whole and in parts ({name})")
        module = model.get_submodule(home)
        if isinstance(module, Conv1D):
            _replace(model, home, Slices(module, parts))
    return list(names)


def is_part(model: nn.Module, name: str) -> bool:
    """Tell whether a target is a part of a layer that is several in one."""
    return bool(home_of(model, name)[1])


def shape_at(model: nn.Module, name: str) -> tuple[int, int]:
    """Return (d_in, d_out) of a target, which may be a part of a layer that is still in one."""
    home, parts = home_of(model, name)
    if parts and isinstance(model.get_submodule(home), Conv1D):
        d_in, d_out = surgery.linear_shape(model.get_submodule(home))
        return d_in, d_out // len(parts)
    return surgery.linear_shape(model.get_submodule(name))


def home_of(model: nn.Module, name: str) -> tuple[str, tuple[str, ...]]:
    """Return the name of the layer that a target is part of, and its parts; none: no part."""
    home, _, part = name.rpartition(".")
    parts = surgery.architecture(model).fused.get(home.rpartition(".")[2], ())
    return home, parts if part in parts else ()


def put_together(model: nn.Module) -> nn.Module:
    """Turn `Slices` of plain layers back into the layers that they were, in place."""
    for name, module in list(model.named_modules()):
        parts = list(module.children())
        if not isinstance(module, Slices) or not all(isinstance(p, Conv1D) for p in parts):
            continue
        weight, bias = (
            torch.cat([part.get_parameter(key) for part in parts], dim=-1)
            for key in ("weight", "bias")
        )
        _replace(model, name, _layer(weight, bias))
    return model


def _replace(model: nn.Module, name: str, new: nn.Module) -> None:
    home, _, key = name.rpartition(".")
    setattr(model.get_submodule(home), key, new)
