"""What a ledger saw when memory ran out, as a record tells it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

from harness.metering.cuda import CudaMeter
from harness.metering.events import Alive, Holder, LedgerReport
from harness.out_of_memory import OutOfMemory

NUM_HOLDERS = 12
LAYER = re.compile(r"\.\d+(?=\.|$)")
BatchOf = Literal["training", "evaluation"]


def told_of(
    seen: Alive, batch_of: BatchOf | None, step: int | None, cuda: CudaMeter | None
) -> OutOfMemory:
    """Return what is recorded of a lack.

    Args:
        seen: by the ledger.
        batch_of: whose batch it was; None: work of another size.
        step: optimizer steps that were done, in training.
        cuda: knows what the allocator holds; None: the work was on the CPU.
    """
    reserved, capacity = cuda.held() if cuda else (None, None)
    return OutOfMemory(
        doing=batch_of or "counting FLOPs",
        batch_of=batch_of,
        step=step,
        part=seen.part if batch_of == "training" else None,
        op=seen.op or None,
        path=seen.path or None,
        alive=seen.total,
        split=dict(seen.split),
        holders=_by_module(seen.holders)[:NUM_HOLDERS],
        reserved=reserved,
        capacity=capacity,
    )


def _by_module(holders: Iterable[Holder]) -> list[dict[str, Any]]:
    """Return bytes and blocks by category and module, a model's like layers together."""
    sizes: Counter[tuple[str, str]] = Counter()
    blocks: Counter[tuple[str, str]] = Counter()
    for holder in holders:
        key = (holder.category, LAYER.sub(".*", holder.path))
        sizes[key] += holder.num_bytes
        blocks[key] += holder.num_blocks
    return [
        {"category": key[0], "path": key[1], "num_bytes": size, "num_blocks": blocks[key]}
        for key, size in sizes.most_common()
    ]


def at_peak(report: LedgerReport) -> Alive:
    """Return what was alive at the peak of work that fitted when it was done again."""
    return Alive("", "", report.peak_mark, report.peak, dict(report.split), report.holders)
