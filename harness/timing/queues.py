"""Who waits for whom: the host launches kernels, the device works through them in their order."""

from __future__ import annotations

from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from harness.timing.device import Seconds

DEEP = 1024  # launches that CUDA takes before the host has to wait
SYNC = 10e-6  # seconds of the host for waiting until the device is done


class Course(NamedTuple):
    """A step as it goes.

    Attributes:
        done: for every row, when the device is done with it and all before it.
        seconds: until both are done.
    """

    done: Seconds
    seconds: float


def run(host: Seconds, device: Seconds, launches: Seconds, waits: NDArray[numpy.bool_]) -> Course:
    """Let host and device work.

    Args:
        host: seconds of the host for every row.
        device: seconds of the device; 0 where it has nothing to do.
        launches: kernels of the row, 0 for none.
        waits: rows after which the host waits for the device.
    """
    count = len(host)
    done, number = numpy.zeros(count), numpy.cumsum(launches)
    cuts = _cuts(number, waits)
    host_now = device_now = 0.0
    for start, end in zip([0, *cuts], cuts, strict=False):
        piece = slice(start, end)
        spent = numpy.cumsum(host[piece])
        # The host may go on once all but DEEP of the launches before are done.
        behind = numpy.searchsorted(number[:start], number[piece] - DEEP)
        known = (
            (number[piece] > DEEP) & (behind < start) if start else numpy.zeros(end - start, bool)
        )
        free = numpy.where(known, done[numpy.minimum(behind, max(start - 1, 0))], 0.0)
        late = numpy.maximum.accumulate(free - (spent - host[piece]))
        launched = spent + numpy.maximum(late, host_now)
        worked = numpy.cumsum(device[piece])
        begins = numpy.where(launches[piece] > 0, launched - (worked - device[piece]), 0.0)
        finished = worked + numpy.maximum(numpy.maximum.accumulate(begins), device_now)
        done[piece] = finished
        host_now, device_now = float(launched[-1]), float(finished[-1])
        if waits[end - 1]:
            host_now = max(host_now, device_now) + SYNC
    return Course(done, max(host_now, device_now))


def in_turn(host: Seconds, device: Seconds) -> Course:
    """Let a CPU work, which runs an operator's kernel before it calls the next one."""
    done: Seconds = numpy.cumsum(host + device)
    return Course(done, float(done[-1]) if len(done) else 0.0)


def _cuts(number: Seconds, waits: NDArray[numpy.bool_]) -> list[int]:
    """Return ends of pieces within which nobody waits for what is launched in the same piece."""
    steps = numpy.arange(DEEP, number[-1] if len(number) else 0.0, DEEP)
    found = {*(numpy.nonzero(waits)[0] + 1).tolist(), *numpy.searchsorted(number, steps).tolist()}
    return sorted({*found, len(number)} - {0})
