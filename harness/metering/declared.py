"""Which tensors are whose before a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from methods.base import Handle


def declared_tensors(model: nn.Module, handle: Handle) -> dict[str, list[Tensor]]:
    """Return the tensors that are there before a step, by category."""
    adapter: list[Tensor] = list(handle.parameters())
    method = list(handle.overhead().values())
    mine = {id(tensor) for tensor in (*adapter, *method)}
    tensors = (*model.parameters(), *model.buffers())
    base = [tensor for tensor in tensors if id(tensor) not in mine]
    return {"weights.base": base, "weights.adapter": adapter, "method": method}
