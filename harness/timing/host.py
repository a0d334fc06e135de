"""What the host works on each operator: Python, dispatch, the launch."""

from __future__ import annotations

import numpy
from numpy.typing import NDArray

from harness.timing.clock import Clock
from harness.timing.device import Seconds, Traced

HIDDEN = 0.4  # of a further kernel that an operator launches by itself, in operators
# Views that one node of autograd makes in a row come from a loop in C++ (block_diag's backward),
# and cost a part of those that Python asks for.
ROW, IN_ROW = 30, 0.15


def host_seconds(traced: Traced, clock: Clock) -> Seconds:
    """Return the host's seconds of every row: of one operator for a view, too."""
    if clock.processor is not None:
        return numpy.array(clock.processor.calls(traced.rows, traced.modules), float)
    hidden = HIDDEN * numpy.maximum(traced.launches - 1, 0)
    found: Seconds = clock.machine.host * (_shares(traced.kernel) + hidden)
    return found


def _shares(kernel: NDArray[numpy.bool_]) -> Seconds:
    """Return what each row costs, in operators."""
    numbers = numpy.arange(len(kernel))
    before = numpy.maximum.accumulate(numpy.where(kernel, numbers, -1))
    return numpy.where(numbers - before > ROW, IN_ROW, 1.0)
