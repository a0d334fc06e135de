"""Muon for the matrices inside of a model, AdamW for all else that trains: as both are meant."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

Groups = list[dict[str, Any]]


class MuonAndAdamW(Optimizer):
    """torch's two optimizers under one roof, so that groups, states and rates are in one place.

    A matrix is Muon's (Jordan et al., 2024: orthogonalised momentum, here torch's defaults of 0.95
    and five Newton-Schulz steps) if it is neither an embedding nor of a head; torch's own class
    takes matrices alone.

    Args:
        groups: of parameters, with rates and decay.
        outer: ids of matrices that are AdamW's all the same.
        adamw: builds the AdamW over groups.
    """

    def __init__(
        self, groups: Groups, outer: Collection[int], adamw: Callable[[Groups], Optimizer]
    ) -> None:
        super().__init__(groups, {"lr": 1e-3, "weight_decay": 0.0})
        self._outer = outer
        self._parts = {
            True: torch.optim.Muon(self._of(matrices=True)),
            False: adamw(self._of(matrices=False)),
        }
        for part in self._parts.values():
            part.state = self.state

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Step every tensor by its own optimizer."""
        for matrices, part in self._parts.items():
            for own, ours in zip(part.param_groups, self._of(matrices=matrices), strict=True):
                own |= ours
            part.step()

    def _of(self, *, matrices: bool) -> Groups:
        """Return the groups with that part of their parameters, and with what both know."""
        return [
            {
                "params": [p for p in group["params"] if self._is_inner(p) == matrices],
                "lr": group["lr"],
                "weight_decay": group["weight_decay"],
            }
            for group in self.param_groups
        ]

    def _is_inner(self, parameter: nn.Parameter) -> bool:
        return parameter.dim() == 2 and id(parameter) not in self._outer
