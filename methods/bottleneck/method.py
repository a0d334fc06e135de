"""What Houlsby's and Pfeiffer's adapters have in common: options, counting, attaching."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from pydantic import Field, PositiveInt

from methods import surgery
from methods.architectures import LayerRange
from methods.base import Method
from methods.bottleneck.ends import sublayer_ends
from methods.bottleneck.options import Activation, Init
from methods.common.in_place import in_place, norm_parameters
from methods.common.options import what_layers_mean
from methods.wording import label_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from methods.base import Handle, Need, Plan
    from methods.bottleneck.ends import SublayerEnds
    from methods.bottleneck.layer import Bottleneck


class BottleneckMethod(Method):
    """Adapters U phi(D x) with D (b, h) and U (h, b), both with a bias, between frozen modules."""

    reduction: PositiveInt = Field(16, description="b = h / reduction, rounded down, at least 1")
    bottleneck: PositiveInt | None = Field(None, description="b itself, in place of reduction")
    activation: Activation = Field("relu", description="phi")
    init: Init = Field(
        "bert",
        description="D and U from N(0, 0.02), from a truncated N(0, 0.01), or as bert with U = 0",
    )
    layers: LayerRange = Field("all", description="a half, or [start, stop) counted from below")
    train_layernorm: bool = Field(False, description="train the LayerNorms of these layers, too")

    @property
    def label(self) -> str:
        """Return `houlsby-reduction16` or `houlsby-b64`, with what is not the default."""
        options = type(self).model_fields
        size = ("b", self.bottleneck) if self.bottleneck else ("reduction", self.reduction)
        shown = ("activation", "init", "layers")
        parts: list[tuple[str, object, object]] = [(*size, None)]
        parts += [
            (name if name == "layers" else "", getattr(self, name), options[name].default)
            for name in shown
        ]
        parts += [("", "train_layernorm", None)] if self.train_layernorm else []
        return label_of(self.name, parts)

    @abstractmethod
    def insert(self, model: nn.Module, ends: SublayerEnds) -> None:
        """Put this method's adapters into one layer."""

    @abstractmethod
    def per_layer(self) -> int:
        """Return how many adapters a layer has."""

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Insert adapters into every chosen layer.

        Raises:
            ValueError: the model is of an unknown type, or has no such layers.
        """
        from methods.bottleneck.handle import BottleneckHandle
        from methods.bottleneck.layer import Bottleneck

        places = sublayer_ends(model, self.layers)
        surgery.freeze_base(model, plan)
        for ends in places:
            self.insert(model, ends)
        adapter = {
            f"{name}.{key}": parameter
            for name, module in model.named_modules()
            if isinstance(module, Bottleneck)
            for key, parameter in module.named_parameters()
        }
        biases = tuple(p for name, p in adapter.items() if name.endswith("_bias"))
        norms = self._norms(model, places)
        for parameter in norms.values():
            parameter.requires_grad_(True)
        adapter |= norms
        return BottleneckHandle(
            model=model,
            adapter=adapter,
            layers=surgery.group_by_layer(model, adapter),
            undecayed=biases,
            norms=in_place(model, norms) if norms else None,
        )

    def expected_count(self, model: nn.Module) -> int:
        """Sum 2 h b + b + h over the adapters, and the LayerNorms that train."""
        places = sublayer_ends(model, self.layers)
        sizes = [(ends.width, self.size(ends.width)) for ends in places]
        adapters = sum(self.per_layer() * (2 * h * b + b + h) for h, b in sizes)
        return adapters + sum(p.numel() for p in self._norms(model, places).values())

    def remarks(self, model: nn.Module, plan: Plan | None) -> list[str]:
        """Say where the layers are."""
        return what_layers_mean(model, self.layers)

    def obstacles(self) -> Mapping[Need, str]:
        """Return that phi stands in the way of merging."""
        return {"fold": "a non-linear adapter has no merged form"}

    def size(self, width: int) -> int:
        """Return b for layers of this width."""
        return self.bottleneck or max(1, width // self.reduction)

    def build(self, model: nn.Module, ends: SublayerEnds) -> Bottleneck:
        """Return a fresh adapter for one layer, on the layer's device."""
        from methods.bottleneck.layer import Bottleneck

        device = next(model.get_submodule(ends.layer).parameters()).device
        size = self.size(ends.width)
        return Bottleneck(ends.width, size, self.activation, self.init, device)

    def _norms(self, model: nn.Module, places: list[SublayerEnds]) -> dict[str, nn.Parameter]:
        if not self.train_layernorm:
            return {}
        return dict(item for e in places for item in norm_parameters(model, e.layer))
