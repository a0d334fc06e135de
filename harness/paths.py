"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UserError


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
