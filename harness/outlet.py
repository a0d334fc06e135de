"""Standard output that may go away: `| head -1`, a full disk, a closed terminal stop no work."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Outlet(io.FileIO):
    """A descriptor that becomes the null device when nobody can be told any more.

    All that shares the descriptor goes there from then on: children, too.
    """

    def write(self, data: Buffer, /) -> int:
        """Write, or from now on write nowhere."""
        try:
            return super().write(data)
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            return super().write(data)


@contextmanager
def patient_output() -> Iterator[None]:
    """Let the block print to outlets; streams that a test or a notebook put there stay."""
    before = sys.stdout, sys.stderr
    sys.stdout.flush()
    sys.stdout, sys.stderr = (
        _patient(now, first)
        for now, first in ((before[0], sys.__stdout__), (before[1], sys.__stderr__))
    )
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def _patient(stream: TextIO, first: TextIO | None) -> TextIO:
    """Return a stream to the same place; text that its encoding lacks is escaped."""
    if stream is not first or not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = Outlet(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=stream.encoding, errors="backslashreplace",
        line_buffering=stream.line_buffering or raw.isatty(),
    )  # fmt: skip
