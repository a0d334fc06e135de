"""Calls of torch that fail on tensors without values, and whose outcome no value decides."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from harness.errors import UserError
from methods.common.fakes import is_hollow

_torch_div: Any = torch.div
_module_apply: Any = nn.Module._apply
_tensor_format: Any = Tensor.__format__


def _div(input: Any, other: Any, **kwargs: Any) -> Any:
    """Divide two whole numbers at once: Longformer asks torch, and the quotient for its value."""
    if isinstance(input, int) and isinstance(other, int) and kwargs.get("rounding_mode"):
        return math.trunc(input / other) if kwargs["rounding_mode"] == "trunc" else input // other
    return _torch_div(input, other, **kwargs)


def _apply(self: Any, function: Any, recurse: bool = True) -> Any:
    """Convert a module, such as a model's constructor does with a norm, by new parameters.

    Those without values cannot be swapped for others in place.
    """
    own = [t for t in self.parameters(recurse=False) if isinstance(t, FakeTensor)]
    if not own:
        return _module_apply(self, function, recurse)
    for child in self.children() if recurse else ():
        child._apply(function)
    for name, parameter in self.named_parameters(recurse=False):
        changed = nn.Parameter(function(parameter.detach()), parameter.requires_grad)
        self.register_parameter(name, changed)
    for name, buffer in self.named_buffers(recurse=False):
        setattr(self, name, function(buffer))
    return self


def _format(self: Tensor, spec: str) -> str:
    """Write a number without a value as the number that it would be, where that is known."""
    if self.dim() == 0 and is_hollow(self):
        with suppress(UserError):
            return format(self.item(), spec)
    written: str = _tensor_format(self, spec)
    return written


# Whose call, its name, and what to call in its place while a step without values runs.
WITHOUT_VALUES: list[tuple[Any, str, Any]] = [
    (torch, "div", _div),
    (nn.Module, "_apply", _apply),
    (Tensor, "__format__", _format),
]
