"""From a trace to seconds on a clock. (A first version: a roofline per operator, two queues.)"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.timing.clock import Clock
from harness.timing.times import StepTime, Times
from harness.timing.trace import Row, Tracer

FLOOR = 2.5e-6  # seconds of the smallest kernel
CPU_FLOPS, CPU_BANDWIDTH = 50e9, 10e9


def times_of(tracer: Tracer, clock: Clock, accumulate: int = 1) -> Times:
    """Time every activity of a trace.

    Args:
        tracer: of a request's steps, at most three passes each.
        clock: the device.
        accumulate: passes of a real step.
    """
    timed = {name: _time(rows, clock, *tracer.sizes[name]) for name, rows in tracer.rows.items()}
    evaluation, probe = timed.pop("evaluation", None), timed.pop("probe", None)
    return Times(steps=list(timed.values()), evaluation=evaluation, probe=probe)


def _time(rows: Sequence[Row], clock: Clock, examples: int, tokens: int) -> StepTime:
    host = device = now = 0.0
    parts: dict[str, float] = {}
    for row in rows:
        host += clock.machine.host
        before = now
        if not row.view:
            cost = _device(row, clock)
            device += cost
            now = max(now, host) + cost
        parts[row.part] = parts.get(row.part, 0.0) + now - before
    return StepTime(
        seconds=now, host=host, device=device, parts=parts, examples=examples, tokens=tokens
    )


def _device(row: Row, clock: Clock) -> float:
    moved = sum(size for _, size in (*row.reads, *row.writes))
    machine, sheet = clock.machine, clock.sheet
    if sheet is None:
        return max(row.flops / CPU_FLOPS, moved / CPU_BANDWIDTH)
    low = row.dtype in (torch.bfloat16, torch.float16)
    peak = sheet.bf16 or sheet.fp16 if low else sheet.fp32
    bandwidth = machine.bandwidth * sheet.bandwidth
    return FLOOR + max(row.flops / (machine.products * peak), moved / bandwidth)
