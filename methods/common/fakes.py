"""Let peft build its adapters on tensors without values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from torch import Tensor, nn


def is_hollow(tensor: Tensor) -> bool:
    """Tell a tensor without values from a real one."""
    from torch._subclasses.fake_tensor import FakeTensor

    return tensor.is_meta or isinstance(tensor, FakeTensor)


@contextmanager
def workable_fakes(model: nn.Module) -> Iterator[None]:
    """Make `module.to(...)` and `copy.deepcopy` work inside the block on a model of fake tensors.

    torch 2.13 converts fake parameters by `swap_tensors`, which fails while FakeTensorMode's own
    memo holds a weak reference to one, that is, until the garbage collector happens to run. And a
    deep copy of a fake tensor copies its mode too, so that the copy mixes with nothing any more.
    """
    from torch import nn
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

    if not isinstance(next(model.parameters()), FakeTensor):
        yield
        return
    with (
        mock.patch.object(nn.Module, "_apply", _replace_parameters),
        mock.patch.object(FakeTensorMode, "__deepcopy__", lambda mode, memo: mode, create=True),
    ):
        yield


def _replace_parameters(
    module: Any, function: Callable[[Tensor], Tensor], recurse: bool = True
) -> Any:
    """Stand in for `nn.Module._apply`: new parameters for those that change, the rest stay."""
    import torch
    from torch import nn

    for child in module.children() if recurse else ():
        child._apply(function)
    for name, parameter in module.named_parameters(recurse=False):
        with torch.no_grad():
            new = function(parameter)
        if (new.dtype, new.device) != (parameter.dtype, parameter.device):
            module._parameters[name] = nn.Parameter(new, parameter.requires_grad)
    for name, buffer in module.named_buffers(recurse=False):
        module._buffers[name] = function(buffer)
    return module
