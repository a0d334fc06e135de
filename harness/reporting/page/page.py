"""The page: groups of records and forecasts in one HTML document, style, script and data included.

Nothing is loaded from anywhere: the Content-Security-Policy lets one script and one style run, by
their checksums, and no connection. The script writes texts as text nodes only.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from harness.forecasting.cards import CARDS
from harness.reporting.figures.theme import LIGHT, looks
from harness.reporting.groups import Group
from harness.reporting.page import colors
from harness.reporting.page.chapter import Chapter, bullets, chapter_html
from harness.reporting.page.embedding import data, digest, text
from harness.reporting.page.memory import parts
from harness.reporting.page.of_forecasts import forecasts_data
from harness.reporting.page.of_records import group_data
from harness.reporting.page.pool import Pool
from harness.reporting.page.runs import FULL, MANY_RUNS, SHORT, Detail
from harness.units import NO_FRACTIONS

# Pieces of the script, in their order; they share one scope.
SCRIPTS = (
    "dom", "numbers", "marks", "plot", "table", "scatter", "why", "course", "columns", "facts",
    "record", "budget", "tiles", "comparison", "figures", "lists", "group",
    "main",
)  # fmt: skip
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)


def page(title: str, chapters: Sequence[Chapter], notes: Sequence[str] = ()) -> str:
    """Return the whole document.

    Args:
        title: plain text.
        chapters: at least one.
        notes: of the whole report, such as what was left out of it.
    """
    pool = Pool()
    runs = sum(len(c.content.records) for c in chapters if isinstance(c.content, Group))
    detail = SHORT if runs > MANY_RUNS else FULL
    contents = [_content(chapter, pool, detail) for chapter in chapters]
    script, style = _script(), colors.style() + _asset("style.css")
    embedded = {
        "groups": contents,
        "parts": parts(),
        "cards": {card.name: card.capacity for card in CARDS.values()},
        "colors": len(LIGHT.methods),
        "no_fractions": sorted(NO_FRACTIONS),
        "pool": pool.values,
    }
    places = {
        "POLICY": POLICY.format(script=digest(script), style=digest(style)),
        "TITLE": text(title),
        "NOTES": bullets(notes),
        "CHAPTERS": "\n".join(map(chapter_html, range(len(chapters)), chapters)),
        "STYLE": style,
        "DATA": data(embedded),
        "SCRIPT": script,
    }
    pieces = _asset("template.html").split("%%")  # text, NAME, text, ...
    return "".join(places[piece] if odd % 2 else piece for odd, piece in enumerate(pieces))


def _content(chapter: Chapter, pool: Pool, detail: Detail) -> dict[str, Any]:
    if isinstance(chapter.content, Group):
        made = group_data(chapter.content, pool, detail, chapter.baseline)
    else:
        made = forecasts_data(chapter.content, pool)
    marks = [look.marker for look in looks(made["methods"], "light").values()]
    return {"name": chapter.title, "marks": marks, **made}


def _script() -> str:
    pieces = "\n".join(_asset(f"script/{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{pieces}}})();\n'


def _asset(name: str) -> str:
    return files("harness.reporting.page").joinpath(name).read_text(encoding="utf-8")
