"""Measuring until it can be believed, within a bound; what others do on the machine is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from harness.timing.processor import Curve

TRIES = 3
SPREAD = 0.25  # of most kernels' least two figures; more would be beyond the error bar alone

Doubt = Callable[[tuple[Curve, ...]], str]


class Timed(Protocol):
    """Kernels that can be measured once more; the least of all that was measured counts."""

    def measure(self) -> None:
        """Time them all."""

    def spread(self) -> float:
        """Return by how much their seconds are uncertain, as a fraction."""

    def curves(self) -> tuple[Curve, ...]:
        """Return their seconds by work."""


def settled(
    kernels: Timed, say: Callable[[str], None], doubt: Doubt = lambda _: ""
) -> tuple[tuple[Curve, ...], str]:
    """Measure until nothing is in doubt, `TRIES` times at most.

    Args:
        kernels: what to measure.
        say: told why it is measured again.
        doubt: says why the curves cannot be true, beside their spread.

    Returns:
        The curves, and what is still in doubt of them.
    """
    for number in range(TRIES):
        kernels.measure()
        curves, spread = kernels.curves(), kernels.spread()
        why = doubt(curves)
        if not why and spread > SPREAD:
            why = f"repeats differ by more than {100 * SPREAD:.0f} %"
        if not why:
            break
        if number < TRIES - 1:
            say(f"once more: {why}")
    return curves, why


def crowded() -> str:
    """Say that more wants to run on the machine than it has cores for; or nothing.

    The average of the last minute, so to be asked before anything is measured.
    """
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return f"load average {load:.1f} on {cores} cores" if load > cores else ""
