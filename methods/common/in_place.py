"""Methods that train the model's own tensors: to leave one out means to put the original back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from methods import surgery
from methods.base import Handle

if TYPE_CHECKING:
    from torch import Tensor, nn

UNMERGED_NORMS = "it trains LayerNorms of the model, beside which there is nothing to merge"


@dataclass
class InPlaceHandle(Handle):
    """A model whose own tensors train.

    Attributes:
        originals: a copy of every tensor that trains, once `prepare_to_skip` was called; by the
            trained tensor's name.
        places: where the model has each of them.
    """

    originals: dict[str, nn.Parameter] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)

    def prepare_to_skip(self) -> None:
        """Copy what trains; the copies count as the method's memory."""
        from torch import nn

        for name, parameter in self.adapter.items():
            self.originals[name] = nn.Parameter(parameter.detach().clone(), requires_grad=False)
        ids = {id(parameter): name for name, parameter in self.adapter.items()}
        for place, parameter in self.model.named_parameters(remove_duplicate=False):
            if id(parameter) in ids:  # a tied one has several
                self.places.setdefault(ids[id(parameter)], []).append(place)
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
            chosen = self.originals[name] if id(parameter) in out else parameter
            for full in self.places.get(name, [name]):
                home, _, key = full.rpartition(".")
                self.model.get_submodule(home)._parameters[key] = chosen


def in_place(model: nn.Module, chosen: dict[str, nn.Parameter]) -> InPlaceHandle:
    """Return a handle of these tensors of the model, which train."""
    return InPlaceHandle(model, chosen, surgery.group_by_layer(model, chosen))


def norm_parameters(model: nn.Module, layer: str) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield name and parameter of every LayerNorm or RMSNorm in the layer called `layer`."""
    for name, module in model.get_submodule(layer).named_modules(prefix=layer):
        if "norm" in type(module).__name__.lower():
            yield from module.named_parameters(prefix=name, recurse=False)
