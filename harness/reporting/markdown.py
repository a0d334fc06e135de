"""Tables as Markdown and CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.record import Record
from harness.reporting.tables import Table
from harness.reporting.units import gib


def render(
    manifest: dict[str, Any], records: Sequence[Record], tables: Sequence[Table], notes: list[str]
) -> str:
    """Return the report: title, one table per model, its caption, and what did not end well."""
    suite = manifest["suite"]
    wanted = len(manifest["cells"])
    parts = [f"# {suite['name']}"]
    if suite.get("description"):
        parts.append(suite["description"].strip())
    if len(records) < wanted:
        parts.append(f"**{len(records)} of {wanted} cells have run.**")
    for table in tables:
        parts += [f"## {table.title}", markdown_table(table)]
    parts.append("\n".join(f"- {note}" for note in notes))
    failed = [record for record in records if record.outcome != "ok"]
    if failed:
        parts.append("## Cells without a score")
        parts.append(
            "\n".join(f"- `{r.path}`: {r.outcome}: {r.message or 'see its log'}" for r in failed)
        )
    parts.append(_provenance(records))
    return "\n\n".join(parts) + "\n"


def markdown_table(table: Table) -> str:
    """Return the table in GitHub's Markdown, padded so that it reads as plain text too."""
    grid = [table.headers, *table.rows]
    widths = [max(len(row[i]) for row in grid) for i in range(len(table.headers))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for row in [table.headers, rule, *table.rows]:
        first = row[0].ljust(widths[0])
        rest = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("| " + " | ".join([first, *rest]) + " |")
    return "\n".join(lines)


def write_csv(file: Path, tables: Sequence[Table]) -> None:
    """Write the tables below one header, the model as first column."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["model", *tables[0].headers])
        for table in tables:
            writer.writerows([table.title, *row] for row in table.rows)


def _provenance(records: Sequence[Record]) -> str:
    """Say which weights and rows were used, and what evaluation and reserved memory came to."""
    lines = ["## Provenance", ""]
    for text in dict.fromkeys(_model_line(record) for record in records if record.model):
        lines.append(f"- model: {text}")
    for text in dict.fromkeys(_data_line(record) for record in records if record.data):
        lines.append(f"- data: {text}")
    peaks = [r.memory.peak_evaluation for r in records if r.memory and r.memory.peak_evaluation]
    if peaks:
        lines.append(f"- largest peak in evaluation: {gib(max(peaks))} GiB")
    commits = {str(r.environment["git"]["commit"])[:12] + ("+dirty" if r.environment["git"]["dirty"]
               else "") for r in records if r.environment.get("git")}  # fmt: skip
    if commits:
        lines.append(f"- code: {', '.join(sorted(commits))}")
    return "\n".join(lines)


def _model_line(record: Record) -> str:
    facts = ", ".join(f"{k} {v}" for k, v in record.model.items() if v is not None)
    return f"{record.path.split('/')[1]} ({facts})"


def _data_line(record: Record) -> str:
    data = record.data
    rows = ", ".join(f"{name} {count:,}" for name, count in data["evaluation_rows"].items())
    notes = f"; {'; '.join(data['notes'])}" if data["notes"] else ""
    return (
        f"{record.path.split('/')[0]}: {data['source']}, train {data['train_rows']:,}, {rows}, "
        f"sha256 {data['fingerprint'][:12]}{notes}"
    )
