"""What it takes to run a part of the forward pass again in backward: random state and autocast."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor


class RandomState(NamedTuple):
    """Where torch's generators stand: the host's, and the GPU's where the tensors are on one."""

    device: torch.device
    host: Tensor
    gpu: Tensor | None

    @classmethod
    def now(cls, device: torch.device) -> RandomState:
        """Take down the generators' states; `device` is that of the tensors."""
        gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(device, torch.get_rng_state(), gpu)

    def restore(self) -> None:
        """Set the generators back."""
        torch.set_rng_state(self.host)
        if self.gpu is not None:
            torch.cuda.set_rng_state(self.gpu, self.device)


def private_random_state(device: torch.device) -> AbstractContextManager[None]:
    """Leave the generators, at the end of the block, as they were at its beginning."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def autocast_now(device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
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
