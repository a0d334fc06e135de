"""The page: groups of records and forecasts in one HTML document, style, script and data included.

Nothing is loaded from anywhere: the Content-Security-Policy lets one script and one style run, by
their checksums, and no connection. The script writes texts as text nodes only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from harness.forecasting.cards import CARDS
from harness.forecasting.result import Forecast
from harness.reporting.columns import Table
from harness.reporting.figures.theme import LIGHT, looks
from harness.reporting.groups import Group
from harness.reporting.page import colors
from harness.reporting.page.embedding import data, digest, prose, text
from harness.reporting.page.memory import parts
from harness.reporting.page.of_forecasts import forecasts_data
from harness.reporting.page.of_records import group_data
from harness.reporting.page.pool import Pool
from harness.reporting.page.runs import FULL, MANY_RUNS, SHORT, Detail
from harness.units import NO_FRACTIONS

# Pieces of the script, in their order; they share one scope.
SCRIPTS = (
    "dom", "numbers", "marks", "plot", "table", "scatter", "why", "course", "columns", "facts",
    "record", "budget", "tiles", "group", "main",
)  # fmt: skip
MOST_ROWS = 200  # of a folded table; the interactive ones have all
POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Chapter:
    """A part of the page: records that compare with each other, or forecasts of one suite.

    Attributes:
        content: what is drawn.
        name: for people; empty: the group's own.
        baseline: what methods are compared with; None: the suite's.
        tables: in full, to stand folded below the interactive ones.
        facts: what a reader has to know; code stands between backticks.
        details: how the figures came about, folded.
    """

    content: Group | Sequence[Forecast]
    name: str = ""
    description: str = ""
    baseline: str | None = None
    tables: Sequence[Table[Any]] = ()
    facts: Sequence[str] = ()
    details: Sequence[str] = ()


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
    names = [name for content in contents for name in content["methods"]]
    script, style = _script(), colors.style() + _asset("style.css")
    embedded = {
        "groups": contents,
        "parts": parts(),
        "cards": {card.name: card.capacity for card in CARDS.values()},
        "marks": [look.marker for look in _looks(names).values()],
        "colors": len(LIGHT.methods),
        "methods": [*_looks(names)],
        "no_fractions": sorted(NO_FRACTIONS),
        "pool": pool.values,
    }
    places = {
        "POLICY": POLICY.format(script=digest(script), style=digest(style)),
        "TITLE": text(title),
        "NOTES": _list(notes),
        "CHAPTERS": "\n".join(map(_chapter, range(len(chapters)), chapters)),
        "STYLE": style,
        "DATA": data(embedded),
        "SCRIPT": script,
    }
    pieces = _asset("template.html").split("%%")  # text, NAME, text, ...
    return "".join(places[piece] if odd % 2 else piece for odd, piece in enumerate(pieces))


def _content(chapter: Chapter, pool: Pool, detail: Detail) -> dict[str, Any]:
    if isinstance(chapter.content, Group):
        return {
            "name": _name(chapter),
            **group_data(chapter.content, pool, detail, chapter.baseline),
        }
    return {"name": _name(chapter), **forecasts_data(chapter.content, pool)}


def _name(chapter: Chapter) -> str:
    named = chapter.content.name if isinstance(chapter.content, Group) else "forecast"
    return chapter.name or named


def _looks(names: Sequence[str]) -> Mapping[str, Any]:
    return looks(names, "light")


def _chapter(number: int, chapter: Chapter) -> str:
    group = chapter.content if isinstance(chapter.content, Group) else None
    told = chapter.description or (group and group.suite.get("description")) or ""
    return (
        f'<section class="group" id="group-{number}" aria-labelledby="name-{number}">'
        f'<h2 id="name-{number}">{text(_name(chapter))}</h2>'
        f'<p class="description">{prose(str(told))}</p><div class="app"></div>'
        + _list(chapter.facts)
        + _folded("All tables", "".join(map(_table, chapter.tables)))
        + _folded("How the figures came about", _list(chapter.details))
        + "</section>"
    )


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary>{content}</details>" if content else ""


def _table(table: Table[Any]) -> str:
    head = "".join(f'<th scope="col">{text(header)}</th>' for header in table.headers)
    rows = "".join(
        "<tr>" + "".join(f"<td>{text(value)}</td>" for value in row) + "</tr>"
        for row in table.texts[:MOST_ROWS]
    )
    left = len(table.rows) - MOST_ROWS
    more = [f"The first {MOST_ROWS:,} of {len(table.rows):,} rows."] if left > 0 else []
    return (
        f"<h3>{text(table.title)}</h3>"
        '<div class="wide" tabindex="0" role="region" aria-label="table"><table class="plain">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        + _list([*more, *table.notes])
    )


def _list(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{prose(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>' if items else ""


def _script() -> str:
    pieces = "\n".join(_asset(f"script/{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{pieces}}})();\n'


def _asset(name: str) -> str:
    return files("harness.reporting.page").joinpath(name).read_text(encoding="utf-8")
