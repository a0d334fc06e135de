"""Full fine-tuning: every parameter trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from methods import surgery
from methods.base import Method
from methods.common.in_place import InPlaceHandle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from methods.base import Handle, Need, Plan


class Full(Method):
    """Train embeddings, layers, LayerNorms, pooler and head.

    The reference row of every paper. The pooler always trains, because it is part of the model;
    it counts as the method's own unless the plan trains it for every method.
    """

    name: ClassVar[str] = "full"

    def attach(self, model: nn.Module, plan: Plan) -> Handle:
        """Let every parameter train."""
        surgery.refuse_quantized(model, "full trains every weight")
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        shared = surgery.head_parameters(model)
        if plan.train_pooler:
            shared |= surgery.pooler_parameters(model)
        adapter = {name: p for name, p in model.named_parameters() if name not in shared}
        return InPlaceHandle(model, adapter, surgery.group_by_layer(model, adapter))

    def remarks(self, model: nn.Module, plan: Plan | None) -> list[str]:
        """Say that the pooler trains here, where it does not under other methods."""
        if plan is None or plan.train_pooler or not surgery.pooler_parameters(model):
            return []
        return ["the pooler trains with the model, under other methods only by train.train_pooler"]

    def obstacles(self) -> Mapping[Need, str]:
        """What trains is the model itself, its embeddings included."""
        return {
            "fold": "it trains the model's own tensors, beside which there is nothing to merge",
            "cache": "the embeddings train to the end, so that no prefix puts out the same twice",
        }

    def expected_count(self, model: nn.Module) -> int:
        """Return the size of the model without its head."""
        total = sum(p.numel() for p in model.parameters())
        return total - sum(p.numel() for p in surgery.head_parameters(model).values())
