"""A forecast's buckets are those of torch's reducer, before and after it has ordered them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from parallel import in_ranks
from torch import nn

from harness.metering.watch import NoWatch
from harness.training.ranks import Ranks
from harness.training.replica import Alone, Distributed, Hollow


class Net(nn.Module):
    """Two types, tensors of up to 36 MB, used in another order than they are made in."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(3000, 8)
        self.first = nn.Linear(16, 3000)
        self.short = nn.Linear(3000, 64, bias=False, dtype=torch.bfloat16)
        self.wide = nn.Linear(3000, 3000)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, 8)."""
        hidden = self.wide(self.first(x))
        return self.frozen(self.last(hidden)) + self.short(hidden.bfloat16()).sum().float()


def _buckets(kind: Any, device: str) -> list[list[tuple[int, torch.dtype]]]:
    """Return the buckets of each of five steps; what trains changes before the fourth."""
    with torch.device(device):
        model, x = Net(), torch.ones(2, 16)
    replica, found = kind(model), []
    for step in range(5):
        if step == 3:
            model.wide.requires_grad_(False)
            replica.changed()
            assert not list(replica.held())
        replica.begin(NoWatch())
        for last in (False, True):
            with replica.passing(last):
                loss = replica(x=x).sum()
            loss.backward()
        found.append([(bucket.numel(), bucket.dtype) for bucket in replica.held()])
        model.zero_grad()
    return found


def test_hollow_buckets_are_the_reducers(tmp_path: Path) -> None:
    def real(_: Ranks) -> Any:
        torch.set_num_threads(1)
        return _buckets(Distributed, "cpu")

    [reducers] = in_ranks(tmp_path, 1, real)
    assert _buckets(Hollow, "meta") == reducers
    first, second, third, fourth, _ = reducers
    assert [kind for _, kind in first] == [torch.bfloat16, torch.float32], "one of each type"
    assert len(second) > len(first), "the first of 1 MiB at most, others of 25"
    assert second == third
    assert sum(size for size, _ in fourth) == sum(size for size, _ in first) - 3000 * 3001


def test_one_process_holds_no_buckets() -> None:
    assert not _buckets(Alone, "meta")[0]
