"""Free text in what people read: no line, no colour and no cursor that we did not mean."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Return the text on one line; what is neither printable nor a space as Python escapes it."""
    return "".join(map(_shown, text)) if not text.isprintable() else text


def lines(text: str) -> str:
    """Return the text with its own line breaks, each line as `one_line`."""
    return "\n".join(map(one_line, text.split("\n")))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else character.encode("unicode_escape").decode()
