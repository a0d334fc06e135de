"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.provenance import Data
from harness.record import Record
from harness.reporting.columns import Table
from harness.reporting.inline import cell, code, prose
from harness.reporting.ran import overridden
from harness.units import gib

if TYPE_CHECKING:
    from harness.store import LeftOut


def render(
    manifest: Mapping[str, Any],
    records: Sequence[Record],
    tables: Sequence[Table[Any]],
    notes: list[str],
    left_out: Sequence[LeftOut] = (),
) -> str:
    """Return the report: title, one table per model, its caption, what did not end well or in."""
    suite = manifest["suite"]
    num_cells = len(manifest["cells"])
    parts = [f"# {prose(suite['name'])}"]
    if suite.get("description"):
        parts.append(_described(suite["description"], overridden(records)))
    if len(records) < num_cells:
        lost = f"; {len(left_out)} records are left out, see below" if left_out else ""
        parts.append(f"**{len(records)} of {num_cells} cells have run{lost}.**")
    for table in tables:
        parts += [f"## {prose(table.title)}", markdown_table(table)]
        if table.notes:
            parts.append("\n".join(f"- {prose(note)}" for note in table.notes))
    parts.append("\n".join(f"- {prose(note)}" for note in notes))
    failed = [record for record in records if record.outcome != "ok"]
    if failed:
        parts.append("## Cells without a score")
        parts.append(
            "\n".join(
                f"- {code(r.path)}: {r.outcome}: {prose(r.message or 'see its log')}"
                for r in failed
            )
        )
    told = [
        f"- {code(r.path)}: {prose(r.message)}" for r in records if r.outcome == "ok" and r.message
    ]
    if told:
        parts += ["## Remarks", "\n".join(told)]
    if left_out:
        parts.append("## Records that are left out")
        parts.append("\n".join(f"- {code(each.path)}: {prose(each.reason)}" for each in left_out))
    parts.append(_provenance(records))
    return "\n\n".join(parts) + "\n"


def _described(description: str, changed: bool | None) -> str:
    """Return what the suite's file says of itself; of a changed suite that is another one."""
    description = "\n".join(map(prose, description.strip().split("\n")))
    if changed is False:
        return description
    why = "Overrides changed it: see below." if changed else "What was overridden is not recorded."
    return f"The suite's file says: *{description}* {why}"


def markdown_table(table: Table[Any]) -> str:
    """Return the table in GitHub's Markdown, padded so that it reads as plain text too."""
    return markdown_grid(table.headers, table.texts)


def markdown_grid(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return headers and texts as a table, the first column to the left."""
    headers, *rows = ([cell(text) for text in row] for row in (headers, *rows))
    grid = [headers, *rows]
    widths = [max(len(row[i]) for row in grid) for i in range(len(headers))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in [headers, rule, *rows]:
        first = row[0].ljust(widths[0])
        rest = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("| " + " | ".join([first, *rest]) + " |")
    return "\n".join(lines)


def _provenance(records: Sequence[Record]) -> str:
    """Say which weights and rows were used, and what evaluation and reserved memory came to."""
    lines = ["## Provenance", ""]
    for text in dict.fromkeys(_model_line(record) for record in records if record.provenance):
        lines.append(f"- model: {prose(text)}")
    for text in dict.fromkeys(_data_line(record, record.data) for record in records if record.data):
        lines.append(f"- data: {prose(text)}")
    peaks = [r.memory.peak_evaluation for r in records if r.memory and r.memory.peak_evaluation]
    if peaks:
        lines.append(f"- largest peak in evaluation: {gib(max(peaks))} GiB")
    states = [record.environment.git for record in records if record.environment.git]
    commits = {state.commit[:12] + ("+dirty" if state.dirty else "") for state in states}
    if commits:
        lines.append(f"- code: {', '.join(sorted(commits))}")
    return "\n".join(lines)


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
