"""The report as Markdown: what tells which first, what tells why folded below it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.provenance import Data
from harness.record import Record
from harness.reporting.columns import Mark, Table
from harness.reporting.figures.figure import Figure
from harness.reporting.inline import cell, code, literal, prose
from harness.reporting.layout import MAIN_WIDTH, parts
from harness.reporting.ran import overridden
from harness.reporting.sections import Report, Section
from harness.units import gib

EMPHASIS: Mapping[Mark | None, str] = {"best": "**", "second": "*", None: ""}
LEGEND = "Bold: best of the column; italic: second best."


def render(report: Report) -> str:
    """Return the report: for each group its figures and tables, and what is not in them."""
    sections = report.sections
    several = len(sections) > 1
    blocks: list[str] = []
    if several:
        blocks += ["# Report", _contents(sections)]
    for section in sections:
        blocks += _section(section, "##" if several else "#", len(report.left_out))
    if report.left_out:
        blocks.append("## Records that are left out")
        blocks.append(bullets(f"{code(each.path)}: {prose(each.reason)}"
                               for each in report.left_out))  # fmt: skip
    return "\n\n".join(blocks) + "\n"


def _contents(sections: Sequence[Section]) -> str:
    """Say which groups there are: each has its own tables, for they do not compare."""
    return bullets(f"{literal(s.group.name)}: {len(s.group.records)} cells" for s in sections)


def _section(section: Section, level: str, num_left_out: int) -> Iterator[str]:
    group = section.group
    yield f"{level} {literal(group.name)}"
    if group.suite.get("description"):
        yield _described(group.suite["description"], overridden(group.records))
    if group.expected is not None and len(group.records) < group.expected:
        lost = f"; {num_left_out} records are left out, see below" if num_left_out else ""
        yield f"**{len(group.records)} of {group.expected} cells have run{lost}.**"
    for figure in section.figures:
        yield from picture(figure)
    for table in section.tables:
        if not table.folded:
            yield from titled(table, f"{level}#")
    if any(mark for table in section.tables for marks in table.marks for mark in marks):
        yield LEGEND
    yield bullets(map(prose, section.facts))
    for table in section.tables:
        if table.folded:
            yield from folded(table.title, grids(table))
    yield from folded("How these figures came about", [bullets(map(prose, section.details))])
    yield from _not_well(group.records, f"{level}#")
    yield from folded("Provenance", [_provenance(group.records)])


def _described(description: str, changed: bool | None) -> str:
    """Return what the suite's file says of itself; of a changed suite that is another one."""
    description = "\n".join(map(literal, description.strip().split("\n")))
    if changed is False:
        return description
    why = "Overrides changed it: see below." if changed else "What was overridden is not recorded."
    return f"The suite's file says: *{description}* {why}"


def picture(figure: Figure) -> Iterator[str]:
    """Yield a picture for light and for dark pages, and below it what it shows."""
    name = f"figures/{figure.name}"
    yield (
        f'<picture>\n<source media="(prefers-color-scheme: dark)" srcset="{name}-dark.png">\n'
        f'<img alt="{_attribute(figure.title)}" src="{name}.png">\n</picture>'
    )
    yield prose(f"{figure.title}. {figure.caption}")


def _attribute(text: str) -> str:
    return literal(text).replace('"', "&quot;").replace("\\", "")


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
    yield f"<details>\n<summary>{literal(title)}</summary>"
    yield from blocks
    yield "</details>"


def _not_well(records: Sequence[Record], level: str) -> Iterator[str]:
    """Yield what the cells say that did not end well, and what the others remark."""
    failed = [record for record in records if record.outcome != "ok"]
    if failed:
        yield f"{level} Cells without a score"
        yield bullets(
            f"{code(r.path)}: {r.outcome}: {_escaped_message(r) or 'see its log'}" for r in failed
        )
    told = [record for record in records if record.outcome == "ok" and record.message]
    if told:
        yield f"{level} Remarks"
        yield bullets(f"{code(r.path)}: {_escaped_message(r)}" for r in told)


def _escaped_message(record: Record) -> str:
    return literal(record.message or "")


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
    headers, *rows = ([cell(text) for text in row] for row in (headers, *rows))
    for row, own in zip(rows, marks, strict=False):
        row[:] = [f"{EMPHASIS[m]}{text}{EMPHASIS[m]}" for text, m in zip(row, own, strict=True)]
    grid = [headers, *rows]
    widths = [max(3, *(len(row[i]) for row in grid)) for i in range(len(headers))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in [headers, rule, *rows]:
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
