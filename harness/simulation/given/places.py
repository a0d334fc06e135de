"""What code says of devices, in a step whose card is not here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors

MEANT = ("cuda", "cpu")  # both are the card: a test is written for whatever machine it runs on
_TO_HOST = "`{}` in {}:{} is taken to stay on the card"


class AutocastNeedsValues(Exception):
    """Code runs under autocast, which the stand-in does not have."""


class OnCard(TorchFunctionMode):
    """Put on the stand-in what code puts on the CPU, on a GPU, or nowhere in particular.

    Args:
        device: the stand-in's.
        emptied: called in place of `torch.cuda.empty_cache`.

    Attributes:
        remarks: copies to the host, which are not made.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.remarks: dict[str, None] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call the function with the device that is meant."""
        kwargs = dict(kwargs or {})
        if func in (Tensor.cuda, Tensor.cpu):
            self._note(func is Tensor.cpu, "cpu()")
            return args[0] if func is Tensor.cpu else args[0].to(self.device)
        if func is Tensor.to:
            if args[0].device == self.device:
                to_host = any(map(self._is_host, (*args[1:2], kwargs.get("device"))))
                self._note(to_host, "to('cpu')")
            if len(args) > 1 and isinstance(args[1], str):
                args = (args[0], torch.device(args[1]), *args[2:])
        makes = func in _device_constructors()
        if makes and _by_optimizer():
            return func(*args, **kwargs)
        args = tuple(self._meant(arg) for arg in args)
        if kwargs.get("device") is not None:
            kwargs["device"] = self._meant(torch.device(kwargs["device"]))
        elif makes:
            kwargs["device"] = self.device
        return func(*args, **kwargs)

    def _meant(self, value: Any) -> Any:
        is_card = isinstance(value, torch.device) and value.type in MEANT
        return self.device if is_card else value

    def _is_host(self, value: Any) -> bool:
        """Tell whether the host is meant: of a stand-in on the CPU, only its name says so."""
        if isinstance(value, torch.device):
            return value.type == "cpu" != self.device.type
        return isinstance(value, str) and value == "cpu"

    def _note(self, to_host: bool, what: str) -> None:
        if to_host:
            frame: Any = sys._getframe(2)
            while frame and "/torch/" in frame.f_code.co_filename:
                frame = frame.f_back
            place = (frame.f_code.co_filename, frame.f_lineno) if frame else ("torch", 0)
            self.remarks[_TO_HOST.format(what, *place)] = None


def _by_optimizer() -> bool:
    """Tell whether an optimizer of torch's asks: it knows where, its counters are on the host."""
    return "/torch/optim/" in sys._getframe(2).f_code.co_filename


@contextmanager
def built_on_host() -> Iterator[None]:
    """Let code that puts its model and batch on a GPU leave them on the CPU."""
    with OnCard(torch.device("cpu")):
        yield


@contextmanager
def as_on_card(device: torch.device, emptied: Callable[[], None]) -> Iterator[OnCard]:
    """Have torch's own choices by device made as on a card; yields what code said of devices.

    Raises:
        AutocastNeedsValues: code runs under autocast, and the stand-in is `meta`.
    """
    from torch._subclasses.fake_tensor import FakeTensor
    from torch.amp import autocast_mode
    from torch.optim import optimizer
    from torch.utils import _foreach_utils

    init: Any = autocast_mode.autocast.__init__
    enter: Any = autocast_mode.autocast.__enter__

    def autocast(
        self: Any, device_type: str, dtype: Any = None, enabled: bool = True,
        cache_enabled: Any = None,
    ) -> None:  # fmt: skip
        default = torch.float16 if device_type == "cuda" else torch.bfloat16
        init(self, "cpu", default if dtype is None else dtype, enabled, cache_enabled)

    def entered(self: Any) -> Any:
        if device.type == "meta" and self._enabled:
            raise AutocastNeedsValues
        return enter(self)

    def devices() -> list[str]:
        return ["cuda", device.type]

    fake = [torch.Tensor, torch.nn.Parameter, FakeTensor]
    on_card = OnCard(device)
    with ExitStack() as stack:
        for owner, name, new in (
            (autocast_mode.autocast, "__init__", autocast),
            (autocast_mode.autocast, "__enter__", entered),
            (optimizer, "_get_foreach_kernels_supported_devices", devices),
            (_foreach_utils, "_get_foreach_kernels_supported_devices", devices),
            (optimizer, "_foreach_supported_types", fake),
            (_foreach_utils, "_foreach_supported_types", fake),
            (torch.cuda, "synchronize", lambda device=None: None),
            (torch.cuda, "empty_cache", emptied),
        ):
            stack.enter_context(mock.patch.object(owner, name, new))
        stack.enter_context(on_card)
        yield on_card
