"""A stand-in for a card that is too small: torch.OutOfMemoryError beyond so many bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from harness.metering.events import Event
from harness.metering.storages import Storages


class Limited(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses the output that would make the live bytes of the CPU more than a limit.

    Args:
        limit: bytes.
        held: tensors that are there before, such as a model's.
    """

    def __init__(self, limit: int, held: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.limit, self.live = limit, 0
        self._storages = Storages(1, None)
        for tensor in held:
            self._storages.see(tensor, "existing")

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the operator, and say that its output had no room if it is so."""
        out = func(*args, **(kwargs or {}))
        for tensor in (out,) if isinstance(out, Tensor) else out if isinstance(out, tuple) else ():
            if isinstance(tensor, Tensor) and not isinstance(tensor, FakeTensor):
                self._storages.see(tensor, func)
        self._count()
        if self.live > self.limit:
            del out, tensor
            self._count()
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate some.\nMore of it")
        return out

    def _count(self) -> None:
        events: list[Event] = self._storages.events
        for event in events:
            assert event.block is not None
            self.live += event.block.size if event.kind == "alloc" else -event.block.size
        events.clear()
