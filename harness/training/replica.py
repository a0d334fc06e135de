"""The model as a step calls it: itself, or one of several copies whose gradients are averaged.

Copies are those of torch's DistributedDataParallel, with what accelerate sets: gradients are
reduced bucket by bucket (25 MiB, the first one 1 MiB) while backward goes on, and are copied out
of the buckets again, which stay. So a rank needs the bytes of all gradients once more than a run
alone. Two things differ from accelerate's defaults, and change no result: parameters are not sent
around at the start, since all ranks make the same ones (the loop holds them to it), and buffers are
not before each step, since no step changes them.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.metering.watch import Watch

BUCKET_BYTES = 25 * 2**20
FIRST_BUCKET_BYTES = 2**20
EMPTY = torch.ops.aten.empty.memory_format


class Replica(Protocol):
    """What a step runs forward passes on."""

    def begin(self, watch: Watch) -> None:
        """Get ready for an optimizer step, and tell whoever watches of the memory it holds."""

    def passing(self, last: bool) -> AbstractContextManager[None]:
        """Surround a forward pass; gradients are reduced in the backward of the step's `last`."""

    def held(self) -> Sequence[Tensor]:
        """Return the buckets."""

    def changed(self) -> None:
        """Note that other tensors train from now on."""

    def __call__(self, **inputs: Any) -> Any:
        """Run a forward pass."""


class Alone:
    """The model itself."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def begin(self, watch: Watch) -> None:
        """Hold nothing."""

    def passing(self, last: bool) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def held(self) -> Sequence[Tensor]:
        """Return none."""
        return ()

    def changed(self) -> None:
        """Do nothing."""

    def __call__(self, **inputs: Any) -> Any:
        """Run a forward pass."""
        return self._model(**inputs)


class Distributed:
    """One rank's copy.

    DistributedDataParallel holds on to what trained when it was made, and waits for a gradient of
    each. So it is made anew, at the next step, after every change of what trains.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._wrapped: Any = None
        self._buckets: list[weakref.ref[Tensor]] = []

    def begin(self, watch: Watch) -> None:
        """Make the buckets, or order them as the first step's gradients came, as torch does."""
        with _Births() as births:
            if self._wrapped is None:
                self._wrapped = _distributed(self._model)
            else:
                self._wrapped.reducer._rebuild_buckets()
        self._buckets = births.alive() or self._buckets
        watch.declare("gradients", self.held())

    def held(self) -> Sequence[Tensor]:
        """Return the buckets."""
        return [tensor for ref in self._buckets if (tensor := ref()) is not None]

    def passing(self, last: bool) -> AbstractContextManager[None]:
        """Have gradients reduced by the last pass only."""
        quiet: AbstractContextManager[None] = nullcontext() if last else self._wrapped.no_sync()
        return quiet

    def changed(self) -> None:
        """Drop the buckets."""
        self._wrapped, self._buckets = None, []

    def __call__(self, **inputs: Any) -> Any:
        """Run a forward pass."""
        return self._wrapped(**inputs)


class _Births(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Hears of the tensors that torch's reducer makes, which no attribute leads to."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._born: list[weakref.ref[Tensor]] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is EMPTY:
            self._born.append(weakref.ref(out))
        return out

    def alive(self) -> list[weakref.ref[Tensor]]:
        """Return those that someone still holds."""
        return [ref for ref in self._born if ref() is not None]


def _distributed(model: nn.Module) -> nn.Module:
    from torch.nn.parallel import DistributedDataParallel

    with warnings.catch_warnings():  # the new name of `broadcast_buffers` is not in torch 2.11
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(
            model, broadcast_buffers=False, init_sync=False, bucket_cap_mb=BUCKET_BYTES / 2**20
        )


class Hollow:
    """A rank's copy without ranks: the same buckets, for a forecast."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._buckets: list[Tensor] | None = None
        self._arrived: list[Tensor] | None = []  # None: the buckets are ordered by it
        self._hooks: list[Any] = []
        self._hearing = False

    def begin(self, watch: Watch) -> None:
        """Make the buckets as `Distributed` has them."""
        if self._buckets is None:
            trained: list[Tensor] = [p for p in self._model.parameters() if p.requires_grad]
            self._hooks = [_hooked(p, self._arrive) for p in trained]
            self._arrived = []
            self._buckets = _flat(trained, [2**62], [])[::-1]
        elif self._arrived:
            self._unhook()
            self._buckets.clear()  # before the others are made, as torch does
            arrived = list(range(len(self._arrived)))
            self._buckets += _flat(self._arrived, [FIRST_BUCKET_BYTES, BUCKET_BYTES], arrived)
            self._arrived = None
        watch.declare("gradients", self._buckets)

    def held(self) -> Sequence[Tensor]:
        """Return the buckets."""
        return self._buckets or ()

    @contextmanager
    def passing(self, last: bool) -> Iterator[None]:
        """Hear in which order gradients come in the backward of the last pass."""
        self._hearing = last
        yield

    def changed(self) -> None:
        """Drop the buckets."""
        self._unhook()
        self._buckets = None

    def __call__(self, **inputs: Any) -> Any:
        """Run a forward pass."""
        return self._model(**inputs)

    def _arrive(self, parameter: Tensor) -> None:
        if self._hearing and self._arrived is not None:
            self._arrived.append(parameter)

    def _unhook(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []


def _hooked(parameter: Any, hear: Any) -> Any:
    return parameter.register_post_accumulate_grad_hook(hear)


def _flat(listed: list[Tensor], limits: list[int], order: list[int]) -> list[Tensor]:
    """Return the buckets of gradients, one behind another in each; by type and device apart.

    Without an order of the tensors torch sorts the buckets by their first ones.
    """
    import torch.distributed as dist

    groups, _ = dist._compute_bucket_assignment_by_size(  # type: ignore[attr-defined]
        listed, limits, [False] * len(listed), order
    )
    buckets = []
    for group in groups:
        first = listed[group[0]]
        size = sum(listed[index].numel() for index in group)
        buckets.append(torch.empty(size, dtype=first.dtype, device=first.device))
    return buckets
