"""Where torch's random generators stand, to be gone back to."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple

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
