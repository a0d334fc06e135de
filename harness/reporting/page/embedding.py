"""Free text and data inside of HTML: they appear as they are and end nothing they stand in."""

from __future__ import annotations

import hashlib
import json
import math
import re
from base64 import b64encode
from html import escape
from typing import Any

from harness.printed import lines, one_line

CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
DIGITS = 8  # of a fraction, of seconds: rounded again by the page, so more than it shows
# What would end a script element, begin a comment in it or be an entity elsewhere.
IN_A_SCRIPT = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}


def text(value: str) -> str:
    """Return free text as one line that renders as itself."""
    return escape(one_line(value))


def prose(value: str) -> str:
    """Return a sentence whose code spans, between backticks, are code; the rest is text."""
    value, said, end = one_line(value), "", 0
    for span in CODE.finditer(value):
        said += escape(value[end : span.start()]) + f"<code>{escape(span[2].strip())}</code>"
        end = span.end()
    return said + escape(value[end:])


def data(value: Any) -> str:
    """Return JSON that may stand in a script element; its texts read as they are."""
    plain = json.dumps(_shown(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return plain.translate(IN_A_SCRIPT)


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return lines(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, int):
        return value
    if isinstance(value, dict):
        return {lines(str(name)): _shown(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(part) for part in value]
    return lines(repr(value))


def digest(content: str) -> str:
    """Return how a Content-Security-Policy names an inline script or style."""
    return f"'sha256-{b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
