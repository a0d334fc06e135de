"""How long a call takes when nothing disturbs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
BURST = 1e-3  # seconds of calls that are timed as one
PATIENCE = 5.0  # seconds of the wall after which what was measured is enough, on a busy machine


def now() -> float:
    """Return the time: of this thread alone where torch has no other one, else of the wall.

    The first leaves out what other processes do meanwhile.
    """
    import torch

    on_gpu = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    alone = torch.get_num_threads() == 1 and not on_gpu
    return time.thread_time() if alone else time.perf_counter()


def best_of(calls: Mapping[K, Callable[[], object]], rounds: int = 5) -> dict[K, float]:
    """Return the seconds of one call each, the least of several bursts.

    Rounds go over all of them, so that what disturbs the machine for a moment does not fall on
    one alone.
    """
    began, counts, least = time.monotonic(), {}, {}
    for key, call in calls.items():
        call()
        counts[key], least[key] = _burst(call)
    for _ in range(rounds - 1):
        if time.monotonic() - began > PATIENCE:
            break
        for key, call in calls.items():
            least[key] = min(least[key], timed(call, counts[key]))
    return least


def timed(call: Callable[[], object], count: int = 1) -> float:
    """Return the mean seconds of so many calls in a row."""
    began = now()
    for _ in range(count):
        call()
    return (now() - began) / count


def _burst(call: Callable[[], object]) -> tuple[int, float]:
    """Return how many calls fill a burst, and the mean seconds of one."""
    count = 1
    while True:
        each = timed(call, count)
        if each * count >= BURST:
            return count, each
        count = max(count + 1, min(10 * count, int(1.3 * BURST / max(each, 1e-8))))
