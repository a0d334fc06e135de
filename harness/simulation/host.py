"""Tensors that stay in host memory while a step runs on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.metering.events import Event
    from harness.simulation.target import Target


def on_device(
    events: list[Event], numbers: Sequence[int], target: Target
) -> tuple[list[Event], list[int]]:
    """Leave out the optimizer's step counters, which torch keeps in host memory.

    Returns:
        The other events, and what the numbers of events have become.
    """

    def is_counter(event: Event) -> bool:
        block = event.block
        return (
            block is not None and block.category == "optimizer" and block.op == "aten::lift_fresh"
        )

    if target.kind == "cpu":
        return events, list(numbers)
    before = [0, *accumulate(map(is_counter, events))]
    return [e for e in events if not is_counter(e)], [n - before[n] for n in numbers]
