"""The report as CSV: plain numbers, their units in the headers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import durable
from harness.record import Record
from harness.reporting.columns import Table

if TYPE_CHECKING:
    import pandas as pd


def write_csv(file: Path, tables: Sequence[Table[Any]]) -> None:
    """Write the tables below one header, the model as first column."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(["model", *tables[0].figure_headers])
    for table in tables:
        writer.writerows([table.title, *row] for row in table.figures)
    durable.write_text(file, stream.getvalue())


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row per record, nested parts flattened to dotted column names."""
    import pandas as pd

    rows = []
    for record in records:
        row = record.model_dump(mode="json", exclude={"history", "log_tail"})
        cell = row.pop("cell")
        row |= {
            "task": record.task,
            "method": cell["method_label"],
            "seed": record.seed,
            "model_name": record.model,
            "axes": json.dumps(cell["axes"], sort_keys=True),
            "train": cell["train"],
        }
        if row["memory"]:
            row["memory"]["phases"] = len(row["memory"]["phases"])
        rows.append(row)
    return pd.json_normalize(rows) if rows else pd.DataFrame()
