"""How long a call takes when nothing disturbs it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

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


class Repeated(Generic[K]):
    """Calls that are timed in bursts, again and again.

    Attributes:
        found: seconds of one call, a figure a burst.
    """

    def __init__(self, calls: Mapping[K, Callable[[], object]]) -> None:
        self._calls = calls
        self.found: dict[K, list[float]] = {key: [] for key in calls}

    def measure(self, rounds: int = 5) -> None:
        """Time a burst of each a round, as far as patience goes.

        Rounds go over all of them, so that what disturbs the machine for a moment does not fall on
        one alone.
        """
        began, counts = time.monotonic(), {}
        for key, call in self._calls.items():
            call()
            counts[key], seconds = _burst(call)
            self.found[key].append(seconds)
        for _ in range(rounds - 1):
            if time.monotonic() - began > PATIENCE:
                break
            for key, call in self._calls.items():
                self.found[key].append(timed(call, counts[key]))

    def least(self) -> dict[K, float]:
        """Return the seconds of one call each, the least of all bursts."""
        return {key: min(seconds) for key, seconds in self.found.items()}

    def spread(self) -> float:
        """Return by how much the least was missed by the next one, of all but a tenth of the calls.

        A fraction; a figure that came once is nobody's.
        """
        missed = []
        for seconds in self.found.values():
            least, *others = sorted(seconds)
            missed.append(others[0] / least - 1 if others else math.inf)
        return sorted(missed)[int(0.9 * (len(missed) - 1))]


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
