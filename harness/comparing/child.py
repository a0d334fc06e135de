"""A side that another Python forecasts: other packages, other code, the same question."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.command import DONE, FAILED
from harness.comparing.interpreter import last_line, packages, surroundings
from harness.comparing.of_forecasts import read_forecasts
from harness.comparing.sides import Side
from harness.errors import UserError


@dataclass(frozen=True)
class Place:
    """Where a side is forecast.

    Attributes:
        name: of the side.
        suite: the suite's file.
        python: the interpreter.
        path: folders in front of the interpreter's own.
        code: which state of the code, in words.
        expected: versions that have to be there, by package.
        notes: for the reader of the comparison.
    """

    name: str
    suite: Path
    python: Path
    path: Sequence[Path]
    code: str
    expected: Sequence[tuple[str, str]] = ()
    notes: tuple[str, ...] = ()


def forecast_in(place: Place, options: Sequence[str]) -> Side:
    """Return the side that a process of that Python forecasts.

    Args:
        place: the Python, its packages and the code.
        options: overrides and options of `headroom forecast`, the same for both sides.

    Raises:
        UserError: it forecasts nothing, and why, or has other versions than it should.
    """
    began = time.monotonic()
    installed = packages(place.python, place.path)
    for name, version in place.expected:
        if installed.get(name, "none").partition("+")[0] != version.partition("+")[0]:
            raise UserError(f"{place.name}: {place.python} has {name} {installed.get(name)}")
    with TemporaryDirectory(prefix="headroom-") as folder:
        file = Path(folder) / "forecasts.json"
        # -P: the folder that the command is given in is none to import from.
        command = [str(place.python), "-P", "-m", "harness.forecast", str(place.suite)]
        command += [*options, "--json", str(file)]
        done = subprocess.run(
            command, env=surroundings(place.path), capture_output=True, text=True, errors="replace"
        )
        if done.returncode not in (DONE, FAILED) or not file.is_file():
            raise UserError(f"{place.name}: {last_line(done.stderr).removeprefix('error: ')}")
        side = read_forecasts(file, place.name)
    facts = {**side.facts, **installed, "code": place.code}
    spent = f"Forecasting {place.name} took {time.monotonic() - began:.0f} s."
    return replace(side, facts=facts, notes=(*side.notes, *place.notes, spent))
