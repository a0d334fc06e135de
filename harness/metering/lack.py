"""What a ledger saw when memory ran out, as a record tells it."""

from __future__ import annotations

from typing import Literal

from harness.metering.cuda import CudaMeter
from harness.metering.events import Alive, LedgerReport
from harness.out_of_memory import OutOfMemory

NUM_HOLDERS = 12
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
        holders=[holder._asdict() for holder in seen.holders[:NUM_HOLDERS]],
        reserved=reserved,
        capacity=capacity,
    )


def at_peak(report: LedgerReport) -> Alive:
    """Return what was alive at the peak of work that fitted when it was done again."""
    return Alive("", "", report.peak_mark, report.peak, dict(report.split), report.holders)
