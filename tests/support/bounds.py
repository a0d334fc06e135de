"""What reading anything may cost: seconds and memory, however odd it is."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 20  # of one input, on a loaded machine
MEBIBYTES = 400  # that the process may grow by


@contextmanager
def bounded(seconds: int = SECONDS, mebibytes: int = MEBIBYTES) -> Iterator[None]:
    """Fail where the block hangs, or makes the process larger than it ever was by so much."""

    def hangs(*_: object) -> None:
        raise AssertionError(f"not done after {seconds} s")

    before = _peak()
    handler = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
    grown = (_peak() - before) / 1024
    assert grown < mebibytes, f"{grown:.0f} MiB more"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
