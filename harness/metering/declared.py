"""Which tensors are whose before a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from methods.quantized import scales

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from methods.base import Handle


class Repeated(Protocol):
    """What a run repeats, as a meter sees it from outside: it holds memory between its steps."""

    @property
    def optimizer(self) -> Optimizer:
        """Over everything that trains; its state and the gradients are found through it."""

    def held(self) -> Iterable[Tensor]:
        """Yield what forward made and is still alive: outputs that are kept."""

    def buckets(self) -> Iterable[Tensor]:
        """Yield what gradients are reduced in, where there are several ranks."""


def declared_tensors(model: nn.Module, handle: Handle) -> dict[str, list[Tensor]]:
    """Return the tensors that are there before a step, by category."""
    adapter: list[Tensor] = list(handle.parameters())
    method = list(handle.overhead().values())
    mine = {id(tensor) for tensor in (*adapter, *method)}
    tensors = (*model.parameters(), *model.buffers())
    base = [tensor for tensor in tensors if id(tensor) not in mine]
    base += (scale for _, scale in scales(model))
    return {"weights.base": base, "weights.adapter": adapter, "method": method}
