"""MEFT's two streams through a model's layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from methods.meft.coupling import Call, Coupling, Pair
from methods.meft.reversible import ReversibleBlock

if TYPE_CHECKING:
    from methods.meft.reversible import Trace

# What layers are passed for cross-attention, which none of the coupled ones has.
_UNUSED = ("encoder_hidden_states", "encoder_attention_mask")
# What layers call the keys and values of earlier tokens: from transformers 5.24 on, and before.
_CACHES = ("cache", "past_key_values")


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
                x1, x2 = ReversibleBlock(reversible, self.chunk, call, self.trace).run(x1, x2)
        return self.pass_on(((x1 + x2) / 2).to(hidden.dtype))

    def pass_on(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Return a hidden state as the layers do."""
        return (hidden, None) if self.couplings[0].blocks.returns_tuple else hidden

    def _arguments(
        self, hidden: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return what the lowest layer was called with beside the hidden state, by name."""
        forward_signature = signature(type(self.couplings[0].layer).forward)
        named = dict(forward_signature.bind(None, hidden, *args, **kwargs).arguments)
        *_, last = forward_signature.parameters.values()
        if last.kind is Parameter.VAR_KEYWORD:
            named |= named.pop(last.name, {})
        itself, first, *_ = forward_signature.parameters
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
