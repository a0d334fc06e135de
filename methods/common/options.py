"""Options of every method that puts adapters on linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from methods import surgery
from methods.architectures import LayerRange, Targets
from methods.base import Method

if TYPE_CHECKING:
    from torch import nn

    from methods.base import Plan


class TargetOptions(Method):
    """Which linear layers get an adapter, and dropout in front of it."""

    dropout: float = Field(0.0, ge=0, lt=1, description="on the input of the adapter only")
    targets: Targets = Field(
        "six", description="a named set (headroom ls targets), or a list of module names"
    )

    @property
    def target_label(self) -> list[tuple[str, object, object]]:
        """Parts of a label: prefix, value, default."""
        default = {name: option.default for name, option in type(self).model_fields.items()}
        return [
            ("d", self.dropout, default["dropout"]),
            ("", self.targets, default["targets"]),
        ]

    def target_names(self, model: nn.Module) -> list[str]:
        """Return the full names of the layers that get an adapter."""
        return surgery.target_modules(model, self.targets)

    def opened_targets(self, model: nn.Module) -> list[str]:
        """Return the same names, each of them a layer from now on."""
        from methods.slices import opened

        return opened(model, self.target_names(model))

    def target_shapes(self, model: nn.Module) -> list[tuple[int, int]]:
        """Return (d_in, d_out) of each of them."""
        from methods.slices import shape_at

        return [shape_at(model, name) for name in self.target_names(model)]

    def remarks(self, model: nn.Module, plan: Plan | None) -> list[str]:
        """Say what the targets are here."""
        return surgery.what_targets_mean(model, self.targets)


class LayerOptions(TargetOptions):
    """The same in some of the transformer layers."""

    layers: LayerRange = Field("all", description="a half, or [start, stop) counted from below")

    @property
    def target_label(self) -> list[tuple[str, object, object]]:
        """Parts of a label: prefix, value, default."""
        return [*super().target_label, ("layers", self.layers, "all")]

    def target_names(self, model: nn.Module) -> list[str]:
        """Return the full names of the layers that get an adapter."""
        return surgery.target_modules(model, self.targets, self.layers)

    def remarks(self, model: nn.Module, plan: Plan | None) -> list[str]:
        """Say what targets and layers are here."""
        return [*super().remarks(model, plan), *what_layers_mean(model, self.layers)]


def any_transposed(model: nn.Module, names: Sequence[str]) -> bool:
    """Tell whether any of these linear layers stores its weight as GPT-2's Conv1D does."""
    return any(surgery.stores_transposed(model.get_submodule(name)) for name in names)


def what_layers_mean(model: nn.Module, chosen: LayerRange) -> list[str]:
    """Say where a range of layers is in one of a model's two stacks (BART), and in which."""
    stacks = [surgery.stack_of(name) for name in surgery.layer_names(model)]
    inside = {stacks[index] for index in surgery.select_layers(model, chosen)}
    given = chosen if isinstance(chosen, str) else f"[{chosen[0]}, {chosen[1]})"
    return [
        f"layers {given} are all in the {stack} here: layers count from the encoder's lowest up"
        for stack in sorted(inside)
        if len(set(stacks)) > 1 and len(inside) == 1
    ]
