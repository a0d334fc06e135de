"""The report as one page of HTML: a chapter for each section."""

from __future__ import annotations

from collections.abc import Mapping

from harness.reporting.figures.figure import MODES
from harness.reporting.page.chapter import Chapter, Picture
from harness.reporting.page.page import page
from harness.reporting.ran import changed_description, overridden
from harness.reporting.sections import Report, Section

MOST_BYTES = 1_000_000  # of figures in a page; those that come later lie beside it only


def as_page(report: Report, drawings: Mapping[str, bytes] | None = None) -> str:
    """Return the page: what was run, interactive, and the tables of the other formats.

    Args:
        report: at least one section.
        drawings: figures by their files, to stand in the page too.
    """
    sections = report.sections
    left_out = [f"Left out: {each.path}: {each.reason}" for each in report.left_out]
    title = sections[0].group.name if len(sections) == 1 else f"Report: {len(sections)} groups"
    kept = _first(drawings or {})
    beside = len(drawings or {}) // len(MODES) - len(kept) // len(MODES)
    notes = [f"{beside} figures are not in this page, and in `figures/` beside it."]
    chapters = [_chapter(section, kept) for section in sections]
    return page(title, chapters, [*left_out, *(notes if beside else [])])


def _first(drawings: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the first drawings, up to MOST_BYTES."""
    kept, size = {}, 0
    for name, content in drawings.items():
        size += len(content)
        if size > MOST_BYTES:
            break
        kept[name] = content
    return kept


def _chapter(section: Section, drawings: Mapping[str, bytes]) -> Chapter:
    return Chapter(
        section.group,
        description=_described(section),
        baseline=section.comparison.baseline,
        tables=section.tables,
        pictures=[
            Picture(each.title, each.caption, {mode: drawings[each.file(mode)] for mode in MODES})
            for each in section.figures
            if all(each.file(mode) in drawings for mode in MODES)
        ],
        facts=section.facts,
        details=section.details,
    )


def _described(section: Section) -> str:
    """Return what the suite's file says of itself; of a changed suite that is another one."""
    said = str(section.group.suite.get("description") or "")
    changed = overridden(section.group.records)
    return said if not said or changed is False else changed_description(said, changed)
