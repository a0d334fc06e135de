"""Kernels of libraries that no operator of torch stands for: told to whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor


class Launch(NamedTuple):
    """One kernel.

    Attributes:
        name: library and kernel, such as `bitsandbytes::dequantize_4bit`.
        reads, writes: tensors, each gone over once.
        flops: of its matrix product, a multiply-add as two.
        waits: the host reads what it wrote.
        known: False: it takes at least what its bytes do, and nobody knows how much more.
    """

    name: str
    reads: Sequence[Tensor] = ()
    writes: Sequence[Tensor] = ()
    flops: int = 0
    waits: bool = False
    known: bool = True


_listeners: list[Callable[[Launch], None]] = []


def launch(
    name: str, reads: Sequence[Tensor] = (), writes: Sequence[Tensor] = (), *, flops: int = 0,
    waits: bool = False, known: bool = True,
) -> None:  # fmt: skip
    """Tell that a kernel runs here; the arguments are `Launch`'s."""
    for listener in _listeners:
        listener(Launch(name, reads, writes, flops, waits, known))


@contextmanager
def heard_by(listener: Callable[[Launch], None]) -> Iterator[None]:
    """Let someone hear of kernels inside of the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
