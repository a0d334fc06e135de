"""Paths as users write them, and free text as a part of a path."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from harness.errors import UserError

LONGEST = 255  # bytes of a file's name on Linux
UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters, surrogates


def path_part(text: str) -> str:
    """Return free text as one part of a path that stays where it is put.

    What is one already stays as it is; a slash becomes two hyphens. Of a text that is too long the
    beginning stays, with a hash of the whole.
    """
    part = UNWRITABLE.sub("_", text.replace("/", "--"))
    if part in {"", ".", ".."}:
        part = f"_{part}"
    if len(part.encode()) > LONGEST:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        start = part.encode()[: LONGEST - 1 - len(digest)].decode(errors="ignore")
        part = f"{start}-{digest}"
    return part


def check_name(text: str) -> str:
    """Return a label or a name that someone wrote; used as a pydantic validator.

    Raises:
        ValueError: as a part of a path it would be nothing, another folder, or not printable.
    """
    if text in {"", ".", ".."}:
        raise ValueError(f"{text!r} is no name: in a path it is {_MEANS[text]}")
    if UNWRITABLE.search(text):
        raise ValueError(f"{text!r} is no name: it holds control characters or half characters")
    return text


_MEANS = {"": "nothing", ".": "the folder itself", "..": "the folder above"}


def user_path(text: str | Path) -> Path:
    """Return the path with `~` and `~name` replaced, as a shell would.

    What a suite holds stays as it was written: a cell's key is the same in every home.

    Raises:
        UserError: there is no such user, or no home.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UserError(f"{text}: {error}") from None
