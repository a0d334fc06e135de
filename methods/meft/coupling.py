"""One layer on MEFT's two streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from methods.bottleneck.layer import Bottleneck
    from methods.meft.layer import Blocks

Pair = tuple[Tensor, Tensor]


class Call(NamedTuple):
    """What the layers get beside the hidden state, none of which may need a gradient.

    Attributes:
        arguments: by name, such as the attention mask.
        dtype: in which the model computes; the streams are in float32 or more.
    """

    arguments: Mapping[str, Any]
    dtype: torch.dtype


@dataclass(eq=False)
class Coupling:
    """One layer on two streams (mefts, modeling_revbert.py).

        y1 = lam x1 + F(x2),  y2 = beta x2 + G(y1)

    and the next layer gets (y2, y1) in designs 1 and 2, (y1, y2) in design 3. F is the layer
    (design 1), an adapter (2) or the attention block (3); G is an adapter, the layer, or the MLP
    block. The model's own blocks have an adapter inside, so there is one in F and one in G.

    Attributes:
        layer: of the transformer, with the adapters `meft.f` and `meft.g`.
        blocks: what its family's layers consist of.
    """

    layer: nn.Module
    blocks: Blocks
    design: Literal[1, 2, 3]
    lam: float
    beta: float

    def forward(self, x1: Tensor, x2: Tensor, call: Call) -> Pair:
        """Return the next layer's streams."""
        y1 = self.first(x1, x2, call)
        return self.order(y1, self.second(y1, x2, call))

    def first(self, x1: Tensor, x2: Tensor, call: Call) -> Tensor:
        """Return y1."""
        return torch.add(self.f(x2, call), x1, alpha=self.lam)

    def second(self, y1: Tensor, x2: Tensor, call: Call) -> Tensor:
        """Return y2."""
        return torch.add(self.g(y1, call), x2, alpha=self.beta)

    def order(self, one: Tensor, two: Tensor) -> Pair:
        """Return y1 and y2 as the next layer's streams, or those as y1 and y2."""
        return (one, two) if self.design == 3 else (two, one)

    def f(self, x: Tensor, call: Call) -> Tensor:
        """Run F."""
        adapter = self._adapter("f")
        if self.design == 1:
            return self._whole(x, call, adapter)
        if self.design == 2:
            added: Tensor = adapter(x)
            return added
        return self.blocks.attention(self.layer, x.to(call.dtype), call.arguments, adapter)

    def g(self, y: Tensor, call: Call) -> Tensor:
        """Run G."""
        adapter = self._adapter("g")
        if self.design == 1:
            added: Tensor = adapter(y)
            return added
        if self.design == 2:
            return self._whole(y, call, adapter)
        return self.blocks.mlp(self.layer, y.to(call.dtype), adapter)

    def trained(self, name: Literal["f", "g"]) -> list[nn.Parameter]:
        """Return what trains in F or in G."""
        return [p for p in self._adapter(name).parameters() if p.requires_grad]

    @contextmanager
    def stand_ins(self, name: Literal["f", "g"]) -> Iterator[dict[nn.Parameter, Tensor]]:
        """Put leaves of the same memory in the places of what trains in F or in G.

        Hooks on the parameters are for the gradients that the whole backward pass brings, not for
        those that are taken inside of it.
        """
        own = {k: p for k, p in self._adapter(name).named_parameters() if p.requires_grad}
        others: Any = {key: p.detach().requires_grad_() for key, p in own.items()}
        self._adapter(name)._parameters.update(others)
        try:
            yield {p: others[key] for key, p in own.items()}
        finally:
            self._adapter(name)._parameters.update(own)

    def _adapter(self, name: str) -> Bottleneck:
        adapter: Any = self.layer.get_submodule(f"meft.{name}")
        return adapter  # type: ignore[no-any-return]

    def _whole(self, x: Tensor, call: Call, adapter: Bottleneck) -> Tensor:
        attended = self.blocks.attention(self.layer, x.to(call.dtype), call.arguments, None)
        return self.blocks.mlp(self.layer, attended, adapter)
