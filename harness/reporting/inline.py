"""Free text inside of Markdown: it renders as itself, and ends nothing that it stands in."""

from __future__ import annotations

import re

from harness.printed import one_line

# What Markdown reads as markup inside of a line. An underscore between two letters is none.
MARKUP = re.compile(
    r"<|&(?=#?\w+;)|\\(?=[!-/:-@\[-`{-~])|[*`~]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])"
)
# What it reads as markup where a line begins: headings, quotes, lists, rules.
BLOCK = re.compile(r"#{1,6}(?=\s|$)|>|[-+](?=[-+\s]|$)|\d{1,9}(?=[.)](\s|$))")
NAMED = {"<": "&lt;", "&": "&amp;"}
# A code span ends with as many backticks as it begins with.
CODE = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)")


def literal(text: str) -> str:
    """Return free text as one line that renders as itself, also where a line begins."""
    text = one_line(text).strip()
    begins = BLOCK.match(text)
    if begins is None:
        return _escaped(text)
    number = begins[0] if begins[0].isdigit() else ""
    return f"{number}\\{_escaped(text.removeprefix(number))}"


def prose(text: str) -> str:
    """Return a sentence of ours, with free text in it, as one line; code spans stay as they are."""
    text = one_line(text)
    parts, end = [], 0
    for span in CODE.finditer(text):
        parts += [_escaped(text[end : span.start()]), span[0]]
        end = span.end()
    return "".join([*parts, _escaped(text[end:])])


def code(text: str) -> str:
    """Return free text as a code span, with more backticks around it than in it."""
    text = one_line(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"`{text}`"


def cell(text: str) -> str:
    """Return free text as one cell of a table."""
    return _escaped(one_line(text)).replace("|", "\\|")


def _escaped(text: str) -> str:
    return MARKUP.sub(lambda found: NAMED.get(found[0], f"\\{found[0]}"), text)
