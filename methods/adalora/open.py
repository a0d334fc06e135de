"""What of a model peft's allocator works on, and what it keeps of it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

# What peft's allocator keeps of every tensor: |w g|, its running mean, the deviation's.
MEANS = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class InPlace(dict[str, Tensor]):
    """Tensors by name, each of which stays where it is when it gets a new value.

    peft puts a new tensor in an old one's place in every step; copied, a mean is one block of
    memory over the run, and is known as the method's. A value that is not finite, as fp16 makes
    them, is not taken over: peft's means would never be finite again.
    """

    def __setitem__(self, name: str, value: Tensor) -> None:
        if name in self:
            value = torch.where(value.isfinite().all(), value, self[name])  # reads no value
            self[name].copy_(value)
        else:
            super().__setitem__(name, value)


class Open(dict[str, nn.Parameter]):
    """The tensors that peft's allocator may score and mask: all of a model that it looks at."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield them as a model does."""
        yield from self.items()
