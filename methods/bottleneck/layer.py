"""Bottleneck adapters between a layer's modules: the modules, and where a layer puts them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from methods.bottleneck.options import Activation, Init

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "swish": functional.silu,
    "tanh": torch.tanh,
}


class Bottleneck(nn.Module):
    """U drop(phi(D x + D_bias)) + U_bias, its tensors in float32; biases start at 0.

    Per token, autograd keeps h floats for D, and b before and behind phi (ReLU: behind only). A
    frozen one keeps what phi's derivative needs: back-propagation goes through it.

    The tensors are the module's own and not those of linear layers inside of it, so that
    `surgery.target_modules` finds only the model's.

    Args:
        width: h.
        size: b.
        activation: phi.
        init: of D and U: `bert` N(0, 0.02^2); `houlsby` N(0, 0.01^2) cut off at two standard
            deviations; `zero-up` like `bert` with U = 0, so that training starts at the base model.
        device: of the tensors.
        dropout: probability, on what phi puts out.

    Attributes:
        D: (b, h), and D_bias (b,).
        U: (h, b), and U_bias (h,).
        skipped: whoever holds this module leaves it out.
    """

    def __init__(
        self,
        width: int,
        size: int,
        activation: Activation,
        init: Init,
        device: torch.device,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()

        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, dtype=torch.float32, device=device))

        self.D, self.D_bias = empty(size, width), empty(size)
        self.U, self.U_bias = empty(width, size), empty(width)
        self.activation = activation
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        self.skipped = False
        for bias in (self.D_bias, self.U_bias):
            nn.init.zeros_(bias)
        for weight in (self.D, self.U):
            if init == "houlsby":
                nn.init.trunc_normal_(weight, std=0.01, a=-0.02, b=0.02)
            else:
                nn.init.normal_(weight, std=0.02)
        if init == "zero-up":
            nn.init.zeros_(self.U)

    def forward(self, x: Tensor) -> Tensor:
        """Return what is to be added to x (..., h), in its dtype."""
        hidden = functional.linear(x.to(self.D.dtype), self.D, self.D_bias)
        hidden = self.drop(_FUNCTIONS[self.activation](hidden))
        return functional.linear(hidden, self.U, self.U_bias).to(x.dtype)


class AdaptedSublayer(nn.Module):
    """z + adapter(z), where z is what the sublayer's last module puts out."""

    def __init__(self, base_layer: nn.Module, adapter: Bottleneck) -> None:
        super().__init__()
        self.base_layer, self.adapter = base_layer, adapter

    def __getattr__(self, name: str) -> Any:
        """Hand on what the model reads of its own module: T5 asks for the type of `wo.weight`."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_layer":  # it has none yet
                raise
            return getattr(self.base_layer, name)

    def forward(self, x: Tensor) -> Tensor:
        """Return z (..., h), adapted, for the input of the last module."""
        z: Tensor = self.base_layer(x)
        return z if self.adapter.skipped else z + self.adapter(z)


class AdaptedNorm(nn.Module):
    """LN(s + adapter(LN(s))): the LayerNorm that ends a layer runs before the adapter and behind.

    s is the sublayer's output with the residual. In adapter-hub's words: original_ln_before,
    original_ln_after, residual_before_ln.
    """

    def __init__(self, base_layer: nn.Module, adapter: Bottleneck) -> None:
        super().__init__()
        self.base_layer, self.adapter = base_layer, adapter

    def forward(self, s: Tensor) -> Tensor:
        """Return the layer's output (..., h) for s (..., h)."""
        x: Tensor = self.base_layer(s)
        if self.adapter.skipped:
            return x
        adapted: Tensor = self.base_layer(s + self.adapter(x))
        return adapted


def adapt_output(layer: nn.Module, adapter: Bottleneck) -> None:
    """Make a transformer layer put out s + adapter(s) in place of s.

    The layer becomes one of a subclass, as in FSDP2 and torch's parametrizations: a hook would run
    outside of what checkpointing repeats and of what a prefix cache skips, and a module around the
    layer would hide the attributes that models read from it.
    """
    layer.add_module("adapter", adapter)
    kind: Any = type(layer)
    layer.__class__ = _with_adapter(kind)


@functools.cache
def _with_adapter(kind: type[Any]) -> type[Any]:
    @functools.wraps(kind.forward)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        out = kind.forward(self, *args, **kwargs)
        if self.adapter.skipped:
            return out
        if isinstance(out, tuple):  # Swin's attention weights come second
            return (out[0] + self.adapter(out[0]), *out[1:])
        return out + self.adapter(out)

    return type(kind.__name__, (kind,), {"forward": forward, "__doc__": kind.__doc__})
