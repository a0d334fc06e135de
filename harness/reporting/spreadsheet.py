"""The report as CSV: plain numbers, their units in the headers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from harness.record import Record
from harness.reporting.columns import Plain
from harness.reporting.sections import Report

if TYPE_CHECKING:
    import pandas as pd


def comparison_csv(report: Report) -> str:
    """Return the comparison: a row per group, model and method, every column that one has."""
    rows: list[dict[str, Plain]] = []
    for section in report.sections:
        for table in section.whole:
            first: dict[str, Plain] = {"group": section.group.name, "model": table.title}
            for row in table.figures:
                rows.append(first | dict(zip(table.figure_headers, row, strict=True)))
    headers = list(dict.fromkeys(header for row in rows for header in row))
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, headers)
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def cells_csv(report: Report) -> str:
    """Return a row per cell and a column per field of its record."""
    frames = [to_frame(s.group.records).assign(group=s.group.name) for s in report.sections]
    if len(frames) == 1:
        return str(frames[0].to_csv(index=False))
    import pandas as pd

    return str(pd.concat(frames, ignore_index=True).to_csv(index=False))


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row per record, nested parts flattened to dotted column names."""
    import pandas as pd

    rows = []
    for record in records:
        row = record.model_dump(mode="json", exclude={"history", "log_tail", "analyses"})
        cell = row.pop("cell")
        row |= {
            "task": record.task,
            "method": cell["method_label"],
            "seed": record.seed,
            "model_name": record.model,
            "axes": json.dumps(cell["axes"], sort_keys=True),
            "train": cell["train"],
        }
        row |= {
            f"analyses.{name}": {**each.headline, "seconds": each.seconds, "error": each.error}
            for name, each in record.analyses.items()
        }
        if row["memory"]:
            row["memory"]["phases"] = len(row["memory"]["phases"])
        rows.append(row)
    return pd.json_normalize(rows) if rows else pd.DataFrame()
