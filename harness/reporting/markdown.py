"""The report as Markdown: what tells which first, what tells why folded below it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from harness.printed import one_line
from harness.provenance import Data
from harness.record import Record
from harness.reporting.columns import Mark, Table
from harness.reporting.figures.figure import Figure
from harness.reporting.inline import cell, code, literal, prose
from harness.reporting.layout import MAIN_WIDTH, parts
from harness.reporting.ran import changed_description, options, overridden
from harness.reporting.sections import Report, Section
from harness.units import gib

EMPHASIS: Mapping[Mark | None, str] = {"best": "**", "second": "*", None: ""}
WHOLE = re.compile(r" (?=± )|(?<=±) |(?<=\d) (?=[A-Z]{3})")  # spaces where no line may end
OPEN = 2  # figures that are shown; the others are folded
MANY = 10  # lines of a list: a longer one is folded
LEGEND = "Bold: best of the column; italic: second best."


def render(report: Report) -> str:
    """Return the report: for each group its figures and tables, and what is not in them."""
    sections = report.sections
    several = len(sections) > 1
    blocks: list[str] = []
    if several:
        blocks += ["# Report", _contents(report)]
    for section in sections:
        blocks += _section(section, "##" if several else "#", len(report.left_out))
    if report.left_out:
        blocks.append("## Records that are left out")
        blocks.append(bullets(f"{code(each.path)}: {prose(each.reason)}"
                               for each in report.left_out))  # fmt: skip
    return "\n\n".join(blocks) + "\n"


def _contents(report: Report) -> str:
    """Say which groups there are: each has its own tables, for they do not compare."""
    lines = [f"{literal(s.group.name)}: {len(s.group.records)} cells" for s in report.sections]
    if report.left_out:
        lines.append(f"left out, see the end: {len(report.left_out)} records")
    return bullets(lines)


def _section(section: Section, level: str, num_left_out: int) -> Iterator[str]:
    group = section.group
    yield f"{level} {literal(group.name)}"
    if group.suite.get("description"):
        yield _described(group.suite["description"], overridden(group.records))
    if group.expected is not None and len(group.records) < group.expected:
        lost = f"; {num_left_out} records are left out, see below" if num_left_out else ""
        yield f"**{len(group.records)} of {group.expected} cells have run{lost}.**"
    first = section.tables[: len(section.comparison.models)]
    for table in first:
        yield from titled(table, f"{level}#")
    if any(mark for table in section.tables for marks in table.marks for mark in marks):
        yield LEGEND
    for figure in section.figures[:OPEN]:
        yield from picture(figure)
    for table in section.tables[len(first) :]:
        if not table.folded:
            yield from titled(table, f"{level}#")
    yield bullets(map(prose, section.facts))
    yield from _not_well(group.records, f"{level}#")
    for figure in section.figures[OPEN:]:
        yield from folded(figure.title, picture(figure))
    for table in section.tables:
        if table.folded:
            yield from folded(table.title, grids(table))
    yield from folded("How these figures came about", [bullets(map(prose, section.details))])
    yield from folded("Options of the methods", [bullets(map(literal, options(group.records)))])
    yield from folded("Provenance", [_provenance(group.records)])


def _described(description: str, changed: bool | None) -> str:
    """Return what the suite's file says of itself; of a changed suite that is another one."""
    description = "\n".join(map(literal, description.strip().split("\n")))
    if changed is False:
        return description
    return changed_description(f"*{description}*", changed, ": see below")


def picture(figure: Figure) -> Iterator[str]:
    """Yield a picture for light and for dark pages, and below it what it shows."""
    name = f"figures/{figure.name}"
    yield (
        f'<picture>\n<source media="(prefers-color-scheme: dark)" srcset="{name}-dark.png">\n'
        f'<img alt="{escape(one_line(figure.title))}" src="{name}.png">\n</picture>'
    )
    yield prose(f"{figure.title}. {figure.caption}")


def titled(table: Table[Any], level: str) -> Iterator[str]:
    """Yield a table under its title."""
    yield f"{level} {literal(table.title)}"
    yield from grids(table)


def grids(table: Table[Any]) -> Iterator[str]:
    """Yield a table cut into ones that a page shows whole, and its notes."""
    for part in parts(table, MAIN_WIDTH):
        yield markdown_table(part)
    if table.notes:
        yield bullets(map(literal, table.notes))


def folded(title: str, blocks: Iterable[str]) -> Iterator[str]:
    """Yield blocks that a page shows when a reader asks for them; the empty lines belong there."""
    yield f"<details>\n<summary>{escape(one_line(title))}</summary>"
    yield from blocks
    yield "</details>"


def _not_well(records: Sequence[Record], level: str) -> Iterator[str]:
    """Yield what the cells say that did not end well, and what the others remark."""
    failed = [
        f"{code(r.path)}: {r.outcome}: {literal(r.message or 'see its log')}"
        for r in records
        if r.outcome != "ok"
    ]
    told = [
        f"{code(r.path)}: {literal(r.message)}" for r in records if r.outcome == "ok" and r.message
    ]
    for title, lines in (("Cells without a score", failed), ("Remarks", told)):
        if len(lines) > MANY:
            yield from folded(f"{title}: {len(lines)}", [bullets(lines)])
        elif lines:
            yield f"{level} {title}"
            yield bullets(lines)


def bullets(lines: Iterable[str]) -> str:
    """Return lines as a list."""
    return "\n".join(f"- {line}" for line in lines)


def markdown_table(table: Table[Any]) -> str:
    """Return the table in GitHub's Markdown, padded so that it reads as plain text too."""
    return markdown_grid(table.headers, table.texts, table.marks)


def markdown_grid(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    marks: Sequence[Sequence[Mark | None]] = (),
) -> str:
    """Return headers and texts as a table, the first column to the left; `marks` emphasise."""
    headers = [cell(text) for text in headers]
    body = [
        [cell(first), *(WHOLE.sub("\u00a0", cell(text)) for text in others)]
        for first, *others in rows
    ]
    for row, own in zip(body, marks, strict=False):
        row[:] = [f"{EMPHASIS[m]}{text}{EMPHASIS[m]}" for text, m in zip(row, own, strict=True)]
    grid = [headers, *body]
    widths = [max(3, *(len(row[i]) for row in grid)) for i in range(len(headers))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in [headers, rule, *body]:
        first = row[0].ljust(widths[0])
        rest = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("| " + " | ".join([first, *rest]) + " |")
    return "\n".join(lines)


def _provenance(records: Sequence[Record]) -> str:
    """Say which weights and rows were used, and what evaluation and reserved memory came to."""
    lines = []
    for text in dict.fromkeys(_model_line(record) for record in records if record.provenance):
        lines.append(f"model: {prose(text)}")
    for text in dict.fromkeys(_data_line(record, record.data) for record in records if record.data):
        lines.append(f"data: {prose(text)}")
    peaks = [r.memory.peak_evaluation for r in records if r.memory and r.memory.peak_evaluation]
    if peaks:
        lines.append(f"largest peak in evaluation: {gib(max(peaks))} GiB")
    states = [record.environment.git for record in records if record.environment.git]
    commits = {state.commit[:12] + ("+dirty" if state.dirty else "") for state in states}
    if commits:
        lines.append(f"code: {', '.join(sorted(commits))}")
    return bullets(lines or ["nothing is recorded"])


def _model_line(record: Record) -> str:
    where = record.provenance
    unsaid = {"redrawn", "config_sha256", "tokenizer_sha256"}
    facts = where.model_dump(exclude_none=True, exclude=unsaid) if where else {}
    return f"{record.model} ({', '.join(f'{key} {value}' for key, value in facts.items())})"


def _data_line(record: Record, data: Data) -> str:
    rows = ", ".join(f"{name} {count:,}" for name, count in data.evaluation_rows.items())
    notes = f"; {'; '.join(data.notes)}" if data.notes else ""
    return (
        f"{record.task}: {data.source}, train {data.train_rows:,}, {rows}, "
        f"sha256 {data.fingerprint[:12]}{notes}"
    )
