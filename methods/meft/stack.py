"""MEFT's two streams through a model's layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from methods.meft.reversible import Block, Pair

if TYPE_CHECKING:
    from methods.bottleneck.layer import Bottleneck
    from methods.meft.layer import Blocks
    from methods.meft.method import Design
    from methods.meft.reversible import Trace

# What layers are passed for cross-attention, which none of the coupled ones has.
_UNUSED = ("encoder_hidden_states", "encoder_attention_mask")
# What layers call the keys and values of earlier tokens: from transformers 5.24 on, and before.
_CACHES = ("cache", "past_key_values")


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
    design: Design
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


@dataclass(eq=False)
class Stack:
    """All layers of an encoder or a decoder as one: takes their places in the model's loop.

    The hidden state h0 that reaches the lowest layer is both streams at first; the mean of the
    streams leaves the highest one. Layers of `reversible` keep no activations; the others run on
    the same two streams by plain autograd (mefts, RevBertEncoder: those above).

    A key-value cache is filled and used where no gradient is wanted, and left alone elsewhere.

    Attributes:
        couplings: one per layer, lowest first.
        reversible: consecutive layers.
        chunk: of the reversible layers, the output of every chunk-th is kept, beside the highest
            one's; 0: of no other. Errors of the reversal begin anew at what is kept.
        trace: where backward passes write down what they rebuild.
    """

    couplings: Sequence[Coupling]
    reversible: range
    chunk: int = 0
    trace: Trace | None = None

    def install(self) -> None:
        """Take the layers' places: the lowest runs all of them, those above pass its result on.

        The layers stay where they are with another `forward`, so that every name in the model,
        and whatever looks for a class of layers, finds what it found before.
        """
        for index, coupling in enumerate(self.couplings):
            coupling.layer.forward = self.pass_on if index else self.run

    def run(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Run the stack on h0 (batch, length, h); the other arguments are the lowest layer's."""
        differentiable = torch.is_grad_enabled()
        call = Call(self._arguments(hidden, args, kwargs), hidden.dtype)
        if differentiable:  # backward runs the layers again, which would fill a cache twice
            without = dict.fromkeys(name for name in _CACHES if name in call.arguments)
            call = call._replace(arguments={**call.arguments, **without})
        x1 = x2 = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        inside = self.reversible if differentiable else range(0)
        for index, coupling in enumerate(self.couplings):
            if index not in inside:
                x1, x2 = _plain(coupling, x1, x2, call)
            elif index == inside.start:
                reversible = [self.couplings[i] for i in inside]
                x1, x2 = Block(reversible, self.chunk, call, self.trace).run(x1, x2)
        return self.pass_on(((x1 + x2) / 2).to(hidden.dtype))

    def pass_on(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Return a hidden state as the layers do."""
        return (hidden, None) if self.couplings[0].blocks.returns_tuple else hidden

    def _arguments(
        self, hidden: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return what the lowest layer was called with beside the hidden state, by name."""
        known = signature(type(self.couplings[0].layer).forward)
        named = dict(known.bind(None, hidden, *args, **kwargs).arguments)
        *_, last = known.parameters.values()
        if last.kind is Parameter.VAR_KEYWORD:
            named |= named.pop(last.name, {})
        itself, first, *_ = known.parameters
        for name in (itself, first, *_UNUSED):
            named.pop(name, None)
        return named


def _plain(coupling: Coupling, x1: Tensor, x2: Tensor, call: Call) -> Pair:
    """Run one layer by plain autograd, checkpointed where the model's layers are."""
    layer: Any = coupling.layer
    run = partial(coupling.forward, call=call)
    if layer.training and layer.gradient_checkpointing:
        checkpointed: Pair = layer._gradient_checkpointing_func(run, x1, x2)
        return checkpointed
    return run(x1, x2)
