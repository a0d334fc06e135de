"""Layers whose inputs backward rebuilds from their outputs: MEFT's autograd function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from methods.common.random_state import RandomState, private_random_state

if TYPE_CHECKING:
    from methods.meft.coupling import Call, Coupling, Pair

Gradients = dict[nn.Parameter, Tensor]


@dataclass
class Trace:
    """The input pairs of reversible layers.

    Attributes:
        true: as the forward pass had them, lowest layer first.
        rebuilt: as the backward pass rebuilt them, highest layer first.
    """

    true: list[Pair] = field(default_factory=list)
    rebuilt: list[Pair] = field(default_factory=list)


class ReversibleBlock(NamedTuple):
    """The reversible layers of one forward pass.

    Attributes:
        couplings: lowest layer first.
        chunk: keep the output of every chunk-th layer, beside the highest one's; 0: of no other.
        call: what the layers get beside the streams.
        trace: where to write down the layers' inputs.
    """

    couplings: Sequence[Coupling]
    chunk: int
    call: Call
    trace: Trace | None = None

    def run(self, x1: Tensor, x2: Tensor) -> Pair:
        """Return the streams behind the highest layer.

        The adapters' tensors are inputs of the autograd function: so autograd enters it though
        the embeddings' output needs no gradient, and adds up and shows to hooks what it returns.
        """
        trained = [p for one in self.couplings for p in (*one.trained("f"), *one.trained("g"))]
        pair: Pair = _Reversible.apply(self, x1, x2, *trained)  # type: ignore[no-untyped-call]
        return pair

    def keeps(self, index: int) -> bool:
        """Tell whether the output of a layer is kept."""
        count = index + 1
        return count == len(self.couplings) or bool(self.chunk and count % self.chunk == 0)


class _Reversible(torch.autograd.Function):
    """Keeps the streams behind some layers, the call, and the random states before F and G."""

    @staticmethod
    def forward(
        ctx: Any, block: ReversibleBlock, x1: Tensor, x2: Tensor, *trained: nn.Parameter
    ) -> Pair:
        ctx.block, ctx.trained, ctx.states = block, trained, []
        ctx.autocast = _autocast_now(x1.device)
        kept: list[Tensor] = []
        for index, coupling in enumerate(block.couplings):
            if block.trace:
                block.trace.true.append((x1, x2))
            before_f = RandomState.now(x1.device)
            y1 = coupling.first(x1, x2, block.call)
            before_g = RandomState.now(x1.device)
            y2 = coupling.second(y1, x2, block.call)
            ctx.states.append((before_f, before_g))
            x1, x2 = coupling.order(y1, y2)
            if block.keeps(index):
                kept += (x1, x2)
        ctx.save_for_backward(*kept)
        return x1, x2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        block, kept = ctx.block, list(ctx.saved_tensors)
        inputs_need_grad = any(ctx.needs_input_grad[1:3])
        pair, dpair = (kept[-2], kept[-1]), (grads[0], grads[1])
        of_trained: Gradients = {}
        with private_random_state(grads[0].device), ctx.autocast():
            for index, coupling in reversed(list(enumerate(block.couplings))):
                if block.keeps(index):
                    pair = kept[-2], kept[-1]
                    del kept[-2:]
                through = index > 0 or inputs_need_grad
                pair, dpair, of_layer = _undo(
                    coupling, pair, dpair, block.call, ctx.states[index], through
                )
                of_trained |= of_layer
                if block.trace:
                    block.trace.rebuilt.append(pair)
        of_inputs = dpair if inputs_need_grad else (None, None)
        return (None, *of_inputs, *(of_trained[parameter] for parameter in ctx.trained))


def _undo(
    coupling: Coupling,
    pair: Pair,
    dpair: Pair,
    call: Call,
    states: tuple[RandomState, RandomState],
    through: bool,
) -> tuple[Pair, Pair, Gradients]:
    """Rebuild a layer's input from its output, and take gradients through it on the way.

        x2 = (y2 - G(y1)) / beta,  x1 = (y1 - F(x2)) / lam

    Args:
        coupling: the layer.
        pair: its output.
        dpair: gradients of the output.
        call: what the layer gets beside the streams.
        states: random states before F and before G.
        through: whether gradients of the input are wanted; else those returned mean nothing.

    Returns:
        The input, its gradients, and those of what trains in the layer.
    """
    (y1, y2), (dy1, dy2) = coupling.order(*pair), coupling.order(*dpair)
    before_f, before_g = states
    before_g.restore()
    out, through_g, of_g = _differentiate(coupling, "g", y1, call, dy2)
    x2 = (y2 - out) / coupling.beta
    dy1 = dy1 + through_g
    before_f.restore()
    out, through_f, of_f = _differentiate(coupling, "f", x2, call, dy1, through)
    x1 = (y1 - out) / coupling.lam
    dx2 = torch.add(through_f, dy2, alpha=coupling.beta)
    return (x1, x2), (coupling.lam * dy1, dx2), of_g | of_f


def _differentiate(
    coupling: Coupling,
    name: Literal["f", "g"],
    x: Tensor,
    call: Call,
    dout: Tensor,
    through: bool = True,
) -> tuple[Tensor, Tensor, Gradients]:
    """Run F or G once more.

    Returns:
        Its output, the gradient of x (`dout` where `through` says that nobody wants it), and
        those of what trains in it.
    """
    with torch.enable_grad(), coupling.stand_ins(name) as leaves:
        x = x.detach().requires_grad_(through)
        out = coupling.f(x, call) if name == "f" else coupling.g(x, call)
    if out.requires_grad:
        # Not autograd.grad, under which hooks that count FLOPs fail.
        torch.autograd.backward(out, dout.to(out.dtype))
    dx = x.grad if x.grad is not None else dout
    return out.detach(), dx, {p: leaf.grad for p, leaf in leaves.items() if leaf.grad is not None}


def _autocast_now(device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
    """Return what brings back the autocast that is on now, or that none is."""
    kind = device.type
    if not torch.amp.is_autocast_available(kind):  # meta tensors
        return nullcontext
    return partial(
        torch.autocast,
        kind,
        dtype=torch.get_autocast_dtype(kind),
        enabled=torch.is_autocast_enabled(kind),
        cache_enabled=torch.is_autocast_cache_enabled(),
    )
