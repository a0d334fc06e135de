"""Methods that train the model's own tensors: to leave one out means to put the original back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from methods.base import Handle

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class InPlaceHandle(Handle):
    """A model whose own tensors train.

    Attributes:
        originals: a copy of every tensor that trains, once `prepare_to_skip` was called; by the
            trained tensor's name.
    """

    originals: dict[str, nn.Parameter] = field(default_factory=dict)

    def prepare_to_skip(self) -> None:
        """Copy what trains; the copies count as the method's memory."""
        from torch import nn

        for name, parameter in self.adapter.items():
            self.originals[name] = nn.Parameter(parameter.detach().clone(), requires_grad=False)
        self.can_skip = True

    def overhead(self) -> Mapping[str, Tensor]:
        """Return the copies."""
        copies = {f"original.{name}": tensor for name, tensor in self.originals.items()}
        return {**super().overhead(), **copies}

    def skip(self, layers: Collection[int] | None) -> None:
        """Run with the original tensors of these layers; None: with all originals."""
        if layers is None:
            out = set(map(id, self.adapter.values()))
        else:
            out = {id(p) for index in layers for p in self.layers[index]}
        for name, parameter in self.adapter.items():
            place, _, key = name.rpartition(".")
            chosen = self.originals[name] if id(parameter) in out else parameter
            self.model.get_submodule(place)._parameters[key] = chosen
