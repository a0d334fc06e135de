"""Whether a CPU's constants can be true: more threads do not make a kernel much slower."""

from __future__ import annotations

from harness.timing.processor import Processor

TIMES = 3.0  # as long as with one thread, and
WAKING = 20e-6  # seconds beyond: threads have to be woken
ALTOGETHER = 1.5  # as long as with one thread: all kernels, the largest above all


def slowed(many: Processor, alone: Processor) -> str:
    """Say which kernel takes too long with many threads to be believed, beside one; or nothing.

    On a machine whose cores others use, a kernel waits for a thread that does not run: for
    milliseconds, whatever it has to do.
    """
    slow_points = {(curve.op, work): slow for curve in many.curves for work, slow in curve.points}
    pairs = {
        (curve.op, work): (seconds, slow_points[curve.op, work])
        for curve in alone.curves
        for work, seconds in curve.points
        if (curve.op, work) in slow_points
    }
    too_slow = {key: slow for key, (one, slow) in pairs.items() if slow > TIMES * one + WAKING}
    if too_slow:
        worst = max(too_slow, key=lambda key: too_slow[key])
        one, slow = (1e6 * seconds for seconds in pairs[worst])
        return (
            f"{len(too_slow)} of {len(pairs)} kernels take more than {TIMES:g} times as long with "
            f"{many.threads} threads as with 1, {worst[0]} {slow:,.0f} µs in place of {one:,.1f}"
        )
    one, slow = (sum(pair[which] for pair in pairs.values()) for which in (0, 1))
    if slow > ALTOGETHER * one:
        return f"kernels take {slow / one:.1f} times as long with {many.threads} threads as with 1"
    return ""
