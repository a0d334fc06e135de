"""Layers that add a low-rank product to a frozen linear layer, and models of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from methods import surgery
from methods.base import Handle
from methods.common import folding
from methods.slices import put_together

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
        self.in_features, self.out_features = surgery.linear_shape(base_layer)
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


L = TypeVar("L", bound=LowRankLayer)


@dataclass(kw_only=True)
class LowRankHandle(Handle, Generic[L]):
    """A model with such layers in it: each can be left out, or folded into its base layer.

    Attributes:
        modules: the layers that are still in the model, by name.
        homes: the transformer layer of each, as attached.
    """

    modules: dict[str, L]
    homes: dict[str, int | None] = field(default_factory=dict)
    can_skip: bool = True

    def __post_init__(self) -> None:
        """Note where the modules are."""
        names = surgery.layer_names(self.model)
        self.homes = {name: surgery.layer_of(name, names) for name in self.modules}

    def skip(self, layers: Collection[int] | None) -> None:
        """Run only the base layers where adapters are left out."""
        for name, module in self.modules.items():
            module.skipped = layers is None or self.homes[name] in layers

    def prepare_to_fold(self) -> None:
        """Check that every adapter sits on a weight of plain numbers that it has for itself."""
        folding.refuse_unfoldable(self.model, self.modules)

    def fold(self, layers: Collection[int]) -> None:
        """Put back the base layers, with what the adapters add in their weights."""
        for name in [name for name in self.modules if self.homes[name] in layers]:
            module = self.modules.pop(name)
            self.note_folded(name, module)
            folding.replace_module(self.model, name, module.merged_base())
            own = chain(module.parameters(recurse=False), module.buffers(recurse=False))
            self.forget({id(tensor) for tensor in own})

    def note_folded(self, name: str, module: L) -> None:
        """Take note of a layer that is about to be folded."""

    def finish(self, model: nn.Module) -> nn.Module:
        """Fold every layer; the model has its original structure again."""
        self.prepare_to_fold()
        self.fold(range(len(surgery.layer_names(self.model))))
        return put_together(model)
