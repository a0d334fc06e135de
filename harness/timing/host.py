"""What the host works on each operator: Python, dispatch, the launch."""

from __future__ import annotations

import numpy

from harness.timing.clock import Clock
from harness.timing.device import Seconds, Traced

VIEW = 1.0  # of a view, in operators
HIDDEN = 0.4  # of a further kernel that an operator launches by itself


def host_seconds(traced: Traced, clock: Clock) -> Seconds:
    """Return the host's seconds of every row."""
    if clock.processor is not None:
        return numpy.array(clock.processor.calls(traced.rows, traced.modules), float)
    hidden = HIDDEN * numpy.maximum(traced.launches - 1, 0)
    own = numpy.where(traced.kernel, 1.0, VIEW)
    found: Seconds = clock.machine.host * (own + hidden)
    return found
