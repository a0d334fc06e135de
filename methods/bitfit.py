"""BitFit: the biases train, nothing else (Ben Zaken et al., 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from methods import surgery
from methods.architectures import LayerRange
from methods.base import Method
from methods.common.in_place import InPlaceHandle
from methods.common.options import what_layers_mean
from methods.wording import label_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from methods.base import Handle, Need, Plan


class BitFit(Method):
    """Train every bias of linear layers and LayerNorms, and the head.

    Published: all encoder biases, weight decay 0 on them, learning rate 5e-4 to 9e-4 on GLUE and
    SQuAD (SAFE). BERT-base has 102,144 with the embeddings' LayerNorm, 102,912 with the pooler
    too. Both are out by default: a trainable bias below the first layer means that
    back-propagation can never stop early, which a method that freezes layers is after.
    """

    name: ClassVar[str] = "bitfit"

    embeddings: bool = Field(False, description="train the biases before the first layer too")
    pooler: bool = Field(False, description="train the pooler's bias too")
    layers: LayerRange = Field("all", description="a half, or [start, stop) counted from below")

    @property
    def label(self) -> str:
        """Return `bitfit`, with what it trains beside the default."""
        chosen = [name for name in ("embeddings", "pooler") if getattr(self, name)]
        parts: list[tuple[str, object, object]] = [("", name, None) for name in chosen]
        return label_of(self.name, [*parts, ("layers", self.layers, "all")])

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Freeze all but biases and head; the embeddings' biases join the lowest layer's unit."""
        adapter = self._biases(model)
        surgery.freeze_base(model, plan)
        if plan.train_pooler:  # then the pooler is no longer this method's own
            adapter = {
                n: p for n, p in adapter.items() if n not in surgery.pooler_parameters(model)
            }
        for parameter in adapter.values():
            parameter.requires_grad_(True)
        units = surgery.group_by_layer(model, adapter)
        # Only together with them can a frozen lowest layer end back-propagation.
        units[0].extend(p for n, p in surgery.input_parameters(model).items() if n in adapter)
        return InPlaceHandle(model, adapter, units)

    def remarks(self, model: nn.Module, plan: Plan | None) -> list[str]:
        """Say where the layers are, and what a bias below them costs."""
        own = (
            "embeddings trains biases below the first layer, down to which backward goes with them"
        )
        return [*what_layers_mean(model, self.layers), *([own] if self.embeddings else [])]

    def obstacles(self) -> Mapping[Need, str]:
        """What trains is the model itself."""
        return {"fold": "it trains the model's own biases, beside which there is nothing to merge"}

    def _biases(self, model: nn.Module) -> dict[str, nn.Parameter]:
        excluded = set(surgery.head_parameters(model))
        if not self.embeddings:
            excluded |= set(surgery.input_parameters(model))
        if not self.pooler:
            excluded |= set(surgery.pooler_parameters(model))
        names, layers = surgery.layer_names(model), surgery.select_layers(model, self.layers)
        biases = {
            name: parameter
            for name, parameter in model.named_parameters()
            if name.rpartition(".")[2] == "bias"
            and name not in excluded
            and surgery.layer_of(name, names) in (None, *layers)
        }
        if not any(surgery.group_by_layer(model, biases)):
            raise ValueError(
                f"bitfit trains biases, and the layers of this {surgery.family(model)} model "
                "have none; choose another method"
            )
        return biases

    def expected_count(self, model: nn.Module) -> int:
        """Count the biases."""
        return sum(parameter.numel() for parameter in self._biases(model).values())
