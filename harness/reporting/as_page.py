"""The report as one page of HTML: a chapter for each section."""

from __future__ import annotations

from harness.reporting.page.page import Chapter, page
from harness.reporting.sections import Report, Section


def as_page(report: Report) -> str:
    """Return the page: what was run, interactive, and the tables of the other formats."""
    sections = report.sections
    left_out = [f"Left out: {each.path}: {each.reason}" for each in report.left_out]
    title = sections[0].group.name if len(sections) == 1 else f"Report: {len(sections)} groups"
    return page(title, [_chapter(section) for section in sections], left_out)


def _chapter(section: Section) -> Chapter:
    return Chapter(
        section.group,
        description=str(section.group.suite.get("description") or ""),
        baseline=section.comparison.baseline,
        tables=section.tables,
        facts=section.facts,
        details=section.details,
    )
