"""The work of one forecast, in a process of its own: fake step, replay, summary."""

from __future__ import annotations

import re
import resource
import time
from collections import defaultdict

from harness.forecasting.request import Request
from harness.forecasting.result import Hold, Outcome

LAYER = re.compile(r"(?<=\.)\d+(?=\.|$)")
NUM_HOLDS = 40


def forecast(request: Request, capacities: tuple[int, ...] = ()) -> Outcome:
    """Run the request; `capacities` are what cards offer to the allocator, in bytes.

    Raises:
        UserError: it cannot be forecast, and why.
    """
    from harness.memory.allocator import CachingAllocator, OutOfMemory
    from harness.memory.fake import fake_run

    began = time.perf_counter()
    run = fake_run(request)
    cuda = request.target.kind == "cuda"
    plain = CachingAllocator().replay(run.events)
    expandable = CachingAllocator(expandable=True).replay(run.events)
    passes = {}
    for capacity in capacities:
        if capacity < plain.peak_reserved:
            try:
                CachingAllocator(capacity).replay(run.events)
                passes[capacity] = True
            except OutOfMemory:
                passes[capacity] = False
    report = run.report
    return Outcome(
        peak_allocated=report.peak,
        peak_reserved=plain.peak_reserved if cuda else 0,
        peak_expandable=expandable.peak_reserved if cuda else 0,
        num_segments=plain.num_segments,
        at_rest=report.at_rest,
        saved_activations=report.saved,
        peak_mark=report.peak_mark,
        split=report.split,
        phases=report.phase_peaks,
        parameters=run.parameters,
        flops_forward=run.flops_forward,
        flops_step=run.flops_step,
        holds=_grouped(report.holders),
        passes=passes,
        seconds=time.perf_counter() - began,
        host_peak=1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    )


def _grouped(holders: object) -> list[Hold]:
    """Sum the holders over the layers of the model, largest first."""
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for holder in holders:  # type: ignore[attr-defined]
        key = (holder.category, LAYER.sub("*", holder.path), holder.op)
        sums[key][0] += holder.num_bytes
        sums[key][1] += holder.num_blocks
    found = [
        Hold(category=category, path=path, op=op, num_bytes=size, num_blocks=count)
        for (category, path, op), (size, count) in sums.items()
    ]
    return sorted(found, key=lambda hold: -hold.num_bytes)[:NUM_HOLDS]
