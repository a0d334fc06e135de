"""Taking ranks out of adapters for good: what methods that gate or budget ranks share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from methods import surgery
from methods.base import Change, Handle, Resized
from methods.common import folding

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(kw_only=True)
class RankHandle(Handle):
    """A model whose adapters can lose ranks, one by one.

    Attributes:
        kept: by module, the ranks that `compact` left in it, counted as attached.
    """

    kept: dict[str, list[int]] = field(default_factory=dict)

    @abstractmethod
    def live_ranks(self) -> dict[str, Tensor]:
        """Return of each module in the model which of its ranks work: True or False; reads values.

        A module is named as the model calls it; its tensor is (ranks,).
        """

    @abstractmethod
    def shrink(self, name: str, ranks: Tensor) -> list[Resized]:
        """Keep only these ranks of a module (indices, ascending); `adapter` lists what is left."""

    @abstractmethod
    def drop(self, name: str) -> list[nn.Parameter]:
        """Take note that a module without any rank is replaced; returns its trainable tensors."""

    def compact(self) -> Change | None:
        """Take out the ranks that do not work; the model computes what it did."""
        chosen: dict[str, Tensor] = {}
        for name, live in self.live_ranks().items():
            if bool(live.all()):
                continue
            chosen[name] = live.nonzero().flatten()
            before = self.kept.get(name, range(len(live)))
            self.kept[name] = [before[index] for index in chosen[name].tolist()]
        return self.keep_ranks(chosen) if chosen else None

    def keep_ranks(self, chosen: Mapping[str, Tensor]) -> Change:
        """Keep only these ranks of each module; one without any is its base layer again."""
        resized: list[Resized] = []
        gone: list[nn.Parameter] = []
        for name, ranks in chosen.items():
            if ranks.numel():
                resized += self.shrink(name, ranks)
                continue
            gone += self.drop(name)
            base = surgery.unwrap(self.model.get_submodule(name))
            folding.replace_module(self.model, name, base)
        self.forget({id(parameter) for parameter in gone})
        self.layers = surgery.group_by_layer(self.model, self.adapter)
        return Change(frozen=tuple(gone), resized=tuple(resized), reshaped=True)

    def take_out_again(self, kept: Mapping[str, list[int]], device: torch.device) -> None:
        """Take out, on a model as attached, what a stored run had taken out."""
        self.kept = {name: list(ranks) for name, ranks in kept.items()}
        chosen = {n: torch.tensor(r, dtype=torch.int64).to(device) for n, r in self.kept.items()}
        if chosen:
            self.keep_ranks(chosen)
