"""Names that people read: the nearest allowed one in an error, and labels that fit in a path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches


def nearest(given: object, allowed: Iterable[str]) -> str:
    """Return the tail of an error message: the nearest allowed values, then all of them."""
    options = sorted(set(allowed))
    close = get_close_matches(str(given), options, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(name) for name in close)}? " if close else ""
    return f"{hint}(allowed: {', '.join(options)})"


def label_of(name: str, parts: Iterable[tuple[str, object, object]] = ()) -> str:
    """Join `name` with each (prefix, value, default) whose value is not the default.

    A default of None means that the part is always shown. The result is one valid path part.
    """
    shown = [name]
    for prefix, value, default in parts:
        if default is None or value != default:
            text = "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            shown.append(f"{prefix}{text}")
    return re.sub(r"[^\w.+=-]+", "_", "-".join(shown))
