"""Errors that are the user's to mend: printed without a traceback, exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches


class UserError(Exception):
    """Bad input: the message names what was given, where, and what is allowed."""


def nearest(given: object, allowed: Iterable[str]) -> str:
    """Return the tail of an error message: the nearest allowed value, then all of them."""
    options = sorted(set(allowed))
    text = str(given)
    close = get_close_matches(text, options, n=1, cutoff=0.5)
    close = close or [o for o in options if o and (text.startswith(o) or o.startswith(text))]
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}(allowed: {', '.join(options)})"


@contextmanager
def exit_on_user_error() -> Iterator[None]:
    """Print a user's mistake as one message and leave with exit code 2."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
