"""What of a model peft's allocator works on, and what it keeps of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

# What peft's allocator keeps of every tensor: |w g|, its running mean, the deviation's.
MEANS = ("ipt", "exp_avg_ipt", "exp_avg_unc")


@torch.no_grad()
def update_means(allocator: Any, open_: Open) -> None:
    """Take every element's |w g| into the means, as peft's `update_ipt`, for all tensors at once.

    What a gradient brings to a tensor is not taken over where any of it is not finite, as fp16
    makes it: peft's means would never be finite again. No value is read. The means stay where they
    are in memory, as the method's own.

    Args:
        allocator: peft's, with the means of all tensors of `open_`.
        open_: tensors with gradients.
    """
    if not open_:
        return
    now, mean, spread = ([getattr(allocator, key)[name] for name in open_] for key in MEANS)
    gradients: Any = [p.grad for p in open_.values()]
    fresh = torch._foreach_mul(list(open_.values()), gradients)
    torch._foreach_abs_(fresh)
    finite = torch.stack(torch._foreach_norm(fresh, torch.inf)).isfinite()
    for kept, value, good in zip(now, fresh, finite.unbind(), strict=True):
        torch.where(good, value, kept, out=kept)
    del fresh
    torch._foreach_mul_(mean, allocator.beta1)
    torch._foreach_add_(mean, now, alpha=1 - allocator.beta1)
    apart = torch._foreach_sub(now, mean)
    torch._foreach_abs_(apart)
    torch._foreach_mul_(spread, allocator.beta2)
    torch._foreach_add_(spread, apart, alpha=1 - allocator.beta2)


class Open(dict[str, nn.Parameter]):
    """The tensors that peft's allocator may score and mask: all of a model that it looks at."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield them as a model does."""
        yield from self.items()
