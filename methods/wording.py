"""Words for people: the nearest allowed name, a mistake in a sentence, labels that fit a path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


def nearest(given: object, allowed: Iterable[str]) -> str:
    """Return the tail of an error message: the nearest allowed values, then all of them."""
    options = sorted(set(allowed))
    text = str(given)
    close = get_close_matches(text, options, n=2, cutoff=0.5)
    close = close or [o for o in options if o and (text.startswith(o) or o.startswith(text))]
    hint = f"did you mean {' or '.join(map(repr, close[:2]))}? " if close else ""
    return f"{hint}(allowed: {', '.join(options)})"


def mistake(finding: Any, key: str, allowed: Iterable[str] = ()) -> str:
    """Return one finding of pydantic's as a sentence.

    Args:
        finding: an entry of `ValidationError.errors()`.
        key: what the user calls the place; empty for the whole.
        allowed: the keys that fit beside one that does not.
    """
    kind, given = finding["type"], finding["input"]
    if kind == "extra_forbidden":
        keys = list(allowed)
        return f"unknown key {key!r}" + (f"; {nearest(finding['loc'][-1], keys)}" if keys else "")
    if kind == "missing":
        return f"key {key!r} is missing"
    if kind == "literal_error":
        expected = str(finding["ctx"]["expected"]).replace(" or ", ", ")
        options = [part.strip(" '") for part in expected.split(",")]
        return f"{key} = {given!r}; {nearest(given, options)}"
    message = finding["msg"].removeprefix("Value error, ")
    tail = "" if kind == "value_error" else f" (given: {given!r})"
    return f"{key + ': ' if key else ''}{message[:1].lower() + message[1:]}{tail}"


def first_mistake(error: ValidationError, *within: str, allowed: Iterable[str] = ()) -> str:
    """Return the first finding as a sentence.

    Args:
        error: of a model.
        within: what the user calls the places around the model.
        allowed: the model's own keys.
    """
    finding = error.errors()[0]
    place = finding["loc"]
    key = ".".join(map(str, (*within, *place)))
    return mistake(finding, key, allowed if len(place) == 1 else ())


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
