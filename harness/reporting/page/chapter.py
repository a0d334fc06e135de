"""What of the page is HTML as it is: chapters with their tables, figures and notes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.forecasting.result import Forecast
from harness.reporting.columns import Mark, Table
from harness.reporting.figures.theme import Mode
from harness.reporting.groups import Group
from harness.reporting.page.embedding import prose, text

MOST_ROWS = 200  # of a folded table; the interactive ones have all


@dataclass(frozen=True)
class Picture:
    """A figure of the other formats, as PNG files for light and dark pages."""

    title: str
    caption: str
    by_mode: Mapping[Mode, bytes]


@dataclass(frozen=True)
class Chapter:
    """A part of the page: records that compare with each other, or forecasts of one suite.

    Attributes:
        content: what is drawn.
        name: for people; empty: the group's own.
        baseline: what methods are compared with; None: the suite's.
        tables: in full, to stand folded below the interactive ones.
        pictures: the figures of the other formats, folded too.
        facts: what a reader has to know; code stands between backticks.
        details: how the figures came about, folded.
    """

    content: Group | Sequence[Forecast]
    name: str = ""
    description: str = ""
    baseline: str | None = None
    tables: Sequence[Table[Any]] = ()
    pictures: Sequence[Picture] = ()
    facts: Sequence[str] = ()
    details: Sequence[str] = ()

    @property
    def title(self) -> str:
        """What the chapter is called."""
        own = self.content.name if isinstance(self.content, Group) else "forecast"
        return self.name or own


def chapter_html(number: int, chapter: Chapter) -> str:
    """Return what of a chapter needs no script, around the place of what does."""
    pictures = "".join(map(_picture, chapter.pictures))
    return (
        f'<section class="group" id="group-{number}" aria-labelledby="name-{number}">'
        f'<h2 id="name-{number}">{text(chapter.title)}</h2>'
        f'<p class="description">{prose(chapter.description)}</p><div class="app"></div>'
        + bullets(chapter.facts)
        + _folded(f"All tables ({len(chapter.tables)})", "".join(map(_table, chapter.tables)))
        + _folded(f"Figures ({len(chapter.pictures)})", pictures)
        + _folded("How the figures came about", bullets(chapter.details))
        + "</section>"
    )


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary>{content}</details>" if content else ""


def _table(table: Table[Any]) -> str:
    rows = zip(table.texts[:MOST_ROWS], table.marks[:MOST_ROWS], strict=True)
    left = len(table.rows) - MOST_ROWS
    more = [f"The first {MOST_ROWS:,} of {len(table.rows):,} rows."] if left > 0 else []
    head = "".join(f'<th scope="col">{text(header)}</th>' for header in table.headers)
    body = "".join(f"<tr>{''.join(map(_cell, texts, marks))}</tr>" for texts, marks in rows)
    grid = f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    wide = f'<div class="wide" tabindex="0" role="region" aria-label="table">{grid}</div>'
    return _folded(text(table.title), wide + bullets([*more, *table.notes]))


def _cell(value: str, mark: Mark | None) -> str:
    return f'<td class="{mark}">{text(value)}</td>' if mark else f"<td>{text(value)}</td>"


def _picture(picture: Picture) -> str:
    shown = "".join(
        f'<img class="{mode}" alt="{text(picture.title)}" '
        f'src="data:image/png;base64,{b64encode(content).decode()}">'
        for mode, content in picture.by_mode.items()
    )
    caption = f"<figcaption>{prose(picture.caption)}</figcaption>"
    return f"<h3>{text(picture.title)}</h3><figure>{shown}{caption}</figure>"


def bullets(notes: Sequence[str]) -> str:
    """Return sentences as a list, or nothing."""
    items = "".join(f"<li>{prose(note)}</li>" for note in notes)
    return f'<ul class="notes">{items}</ul>' if items else ""
