"""What two arguments of `headroom compare` are: run folders or files of forecasts."""

from __future__ import annotations

from pathlib import Path

from harness.comparing.of_forecasts import read_forecasts
from harness.comparing.of_records import read_runs
from harness.comparing.sides import Side
from harness.errors import UserError


def read_side(source: Path) -> Side:
    """Return the side that lies there.

    Raises:
        UserError: it is neither a run folder nor a file of forecasts.
    """
    if source.is_dir():
        return read_runs(source)
    if source.is_file():
        return read_forecasts(source)
    raise UserError(
        f"{source}: no such run folder or file of forecasts (headroom forecast --json writes one)"
    )
