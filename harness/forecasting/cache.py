"""Forecasts that are kept: a help and no more; what is wrong with them is told and costs time."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from harness import durable
from harness.paths import user_path
from harness.simulation.step_forecast import StepForecast
from harness.untrusted import Unreadable, bytes_of, reading, said

CACHE_VARIABLE = "HEADROOM_CACHE"


def cache_folder() -> Path | None:
    """Return where forecasts are kept: $HEADROOM_CACHE, or headroom in the user's cache folder.

    None for a user without a home: then none are.
    """
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return user_path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "headroom" / "forecasts"
    except RuntimeError as error:
        _tell(f"forecasts are not kept: {error}")
        return None


A = TypeVar("A", bound=BaseModel)


class Kept(Generic[A]):
    """Answers of one kind by the keys of their requests, one file each.

    An entry's first line is the SHA-256 of its key and of the rest, so that an entry that was
    changed, torn or put under another key is none.
    """

    def __init__(self, folder: Path | None, kind: type[A]) -> None:
        self.folder, self.kind = folder, kind
        self.doubted = False
        self.full = False

    def read(self, key: str) -> A | None:
        """Return the answer, or None where there is none that can be believed."""
        if self.folder is None:
            return None
        file = self.folder / f"{key}.json"
        try:
            with reading(file, "a forecast", self.kind):
                if not file.exists():
                    return None
                stated, _, content = bytes_of(file).partition(b"\n")
                if stated != _checksum(key, content):
                    raise Unreadable(f"{file}: not what was written there (its checksum differs)")
                return self.kind.model_validate_json(content)
        except Unreadable as error:
            if not self.doubted:
                _tell(f"forecast made anew: {error}")
            self.doubted = True
            return None

    def write(self, key: str, step: A) -> None:
        """Keep the answer; where that fails once, none is kept any more."""
        if self.folder is None or self.full:
            return
        content = step.model_dump_json()
        text = f"{_checksum(key, content.encode()).decode()}\n{content}\n"
        try:
            durable.write_text(self.folder / f"{key}.json", text)
        except OSError as error:
            self.full = True
            _tell(f"forecasts are not kept in {self.folder}: {said(error)}")


class Cache(Kept[StepForecast]):
    """Forecasts that are kept."""

    def __init__(self, folder: Path | None) -> None:
        super().__init__(folder, StepForecast)


def _checksum(key: str, content: bytes) -> bytes:
    whole = key.encode() + b"\n" + content.removesuffix(b"\n")
    return hashlib.sha256(whole).hexdigest().encode()


def _tell(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
