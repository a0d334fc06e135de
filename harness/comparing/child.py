"""A side that another Python forecasts: other packages, other code, the same question."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.command import DONE, FAILED
from harness.comparing.interpreter import last_line, packages, surroundings
from harness.comparing.of_forecasts import Entry, read_entries, side_of
from harness.comparing.sides import Side
from harness.errors import UserError
from harness.forecasting.cache import CACHE_VARIABLE


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


def forecast_in(
    places: Sequence[Place],
    options: Sequence[str],
    progress: Callable[[str], None] = lambda name: None,
) -> list[Side]:
    """Return the sides that processes of those Pythons forecast, one after the other.

    Args:
        places: the Pythons, their packages and the code; all are looked at before any work is done.
        options: overrides and options of `headroom forecast`, the same for all sides.
        progress: called with the name of the side that is forecast next.

    Raises:
        UserError: one forecasts nothing, and why, or has other versions than it should.
    """
    installed = [_installed(place) for place in places]
    sides = []
    for place, facts in zip(places, installed, strict=True):
        progress(place.name)
        sides.append(_forecast(place, options, facts))
    return sides


def _installed(place: Place) -> dict[str, str]:
    found = packages(place.python, place.path)
    for name, version in place.expected:
        if found.get(name, "none").partition("+")[0] != version.partition("+")[0]:
            raise UserError(f"{place.name}: {place.python} has {name} {found.get(name)}")
    return found


def _forecast(place: Place, options: Sequence[str], installed: Mapping[str, str]) -> Side:
    began = time.monotonic()
    side = side_of(entries_in(place, options), place.name)
    facts = {**side.facts, **installed, "code": place.code}
    spent = f"Forecasting {place.name} took {time.monotonic() - began:.0f} s."
    return replace(side, facts=facts, notes=(*side.notes, *place.notes, spent))


def entries_in(place: Place, options: Sequence[str], cache: Path | None = None) -> list[Entry]:
    """Return what a process of that Python forecasts.

    Args:
        place: the Python, its packages and the code.
        options: as `forecast_in` has them.
        cache: where it keeps forecasts; None: where all are kept.

    Raises:
        UserError: it forecasts nothing, and why.
    """
    around = surroundings(place.path)
    if cache is not None:
        around[CACHE_VARIABLE] = str(cache)
    with TemporaryDirectory(prefix="headroom-") as folder:
        file = Path(folder) / "forecasts.json"
        # -P: the folder that the command is given in is none to import from.
        command = [str(place.python), "-P", "-m", "harness.forecast", str(place.suite)]
        command += [*options, "--json", str(file)]
        done = subprocess.run(command, env=around, capture_output=True, text=True, errors="replace")
        if done.returncode not in (DONE, FAILED) or not file.is_file():
            raise UserError(f"{place.name}: {last_line(done.stderr).removeprefix('error: ')}")
        return read_entries(file)
