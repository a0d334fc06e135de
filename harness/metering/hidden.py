"""The two ways in which memory comes and goes without any operator being dispatched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


@contextmanager
def watch_hidden(
    on_state: Callable[[Tensor], object], on_resize: Callable[[torch.UntypedStorage], object]
) -> Iterator[None]:
    """Report random-state snapshots and storage resizes while the context is open.

    Checkpointing takes a snapshot (5,056 B, host memory on every device) per segment; reversible
    blocks empty a storage by `resize_(0)`.
    """
    get_state, resize = torch.get_rng_state, torch.UntypedStorage.resize_

    def get_rng_state() -> Tensor:
        state = get_state()
        on_state(state)
        return state

    def resize_(storage: torch.UntypedStorage, size: int) -> Any:
        out = resize(storage, size)
        on_resize(storage)
        return out

    torch.get_rng_state = get_rng_state
    torch.UntypedStorage.resize_ = resize_  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        torch.get_rng_state = get_state
        torch.UntypedStorage.resize_ = resize  # type: ignore[method-assign]
