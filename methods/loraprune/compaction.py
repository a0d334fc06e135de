"""Taking heads and channels out of a model for good: smaller matrices, adapters on them too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from methods import surgery
from methods.base import Resized
from methods.loraprune.groups import positions

if TYPE_CHECKING:
    from torch import Tensor

    from methods.loraprune.groups import GroupSet

# What attention modules of transformers 5.23 know of their heads: how many there are, and how wide
# all are together. LLaMA's and ViT's read it from the shape of what comes in.
_OF_HEADS = ("num_attention_heads", "num_heads", "all_head_size", "split_size")


def keep_groups(model: nn.Module, groups: GroupSet, count: int, kept: Tensor) -> list[Resized]:
    """Take all groups but `kept` out of their layers and out of LoRA's matrices on these.

    The model's config goes on describing the model as it was built.

    Args:
        model: edited in place.
        groups: which layers they are in.
        count: of groups that are in the model now.
        kept: indices among these, ascending.

    Returns:
        LoRA's tensors that were replaced; `dim` and `kept` say what is left of them.
    """
    resized = []
    for member in groups.members:
        module = model.get_submodule(member.name)
        size = surgery.linear_shape(module)[1 - member.dim]
        index = positions(kept, count, size, member.parts)
        select(surgery.unwrap(module), member.dim, index)
        for matrix in _lora_matrices(module, member.dim):
            resized += select(matrix, member.dim, index)
            _set_features(module, member.dim, len(index))
    if groups.attention:
        attention = model.get_submodule(groups.attention)
        for name in _OF_HEADS:
            if hasattr(attention, name):
                setattr(attention, name, getattr(attention, name) * len(kept) // count)
    return resized


@torch.no_grad()
def select(linear: nn.Module, dim: int, index: Tensor) -> list[Resized]:
    """Leave only rows (`dim` 0, with their biases) or columns (1) of a linear layer or a Conv1D."""
    transposed = isinstance(linear, Conv1D)  # stores (d_in, d_out)
    places = {"weight": 1 - dim if transposed else dim}
    if dim == 0 and getattr(linear, "bias", None) is not None:
        places["bias"] = 0
    resized = []
    for name, place in places.items():
        old = linear.get_parameter(name)
        kept = index.to(old.device)
        new = nn.Parameter(old.index_select(place, kept), requires_grad=old.requires_grad)
        setattr(linear, name, new)
        resized.append(Resized(old, new, place, kept))
    _set_features(linear, dim, len(index))
    return resized


def _lora_matrices(module: nn.Module, dim: int) -> Iterator[nn.Module]:
    """Yield what peft's LoRA holds along `dim`: the layers with B (0) or with A (1)."""
    matrices: Any = getattr(module, "lora_B" if dim == 0 else "lora_A", None)
    yield from () if matrices is None else matrices.values()


def _set_features(module: nn.Module, dim: int, size: int) -> None:
    """Update the sizes that a layer remembers beside its weight."""
    for name in ("out_features", "nf") if dim == 0 else ("in_features", "nx"):
        if hasattr(module, name):
            setattr(module, name, size)
