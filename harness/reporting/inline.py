"""Free text inside of Markdown: it renders as itself, and ends nothing that it stands in."""

from __future__ import annotations

import re

from harness.printed import one_line

MARKUP = {"<": "&lt;", "](": "]\\(", "][": "]\\["}
# A code span ends with as many backticks as it begins with.
CODE_OR_MARKUP = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)|<|\]\(|\]\[")


def prose(text: str) -> str:
    """Return free text as one line that renders as itself: no HTML, no links, no pictures.

    What stands between backticks stays as it is: it renders as itself already.
    """
    return CODE_OR_MARKUP.sub(lambda m: m[0] if m[1] else MARKUP[m[0]], one_line(text))


def code(text: str) -> str:
    """Return free text as a code span, with more backticks around it than in it."""
    text = one_line(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"`{text}`"


def cell(text: str) -> str:
    """Return free text as one cell of a table."""
    return prose(text).replace("\\", "\\\\").replace("|", "\\|")
