"""The report of a run folder: its files, and the same tables in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.reporting.caption import caption
from harness.reporting.columns import Table
from harness.reporting.compacted import compacted_notes, compacted_tables
from harness.reporting.comparison import compare_methods
from harness.reporting.markdown import render
from harness.reporting.phases import phase_notes, phase_tables
from harness.reporting.spreadsheet import to_frame, write_csv
from harness.reporting.tables import comparison_tables
from harness.reporting.terminal import print_tables

if TYPE_CHECKING:
    from harness.store import Store


def write_report(store: Store, out: Path | None = None) -> Path:
    """Write and print the report of the store's current cells; returns the Markdown file.

    Raises:
        UserError: the folder holds no records.
    """
    manifest, records = store.manifest(), store.records()
    if not records:
        raise UserError(f"{store.folder} holds no records yet")
    comparison = compare_methods(records, manifest["suite"].get("baseline"))
    tables: list[Table[Any]] = [
        *comparison_tables(comparison), *phase_tables(records), *compacted_tables(records),
    ]  # fmt: skip
    notes = [*caption(comparison), *phase_notes(records), *compacted_notes(records)]
    folder = out or store.folder
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "report.md"
    file.write_text(render(manifest, records, tables, notes), encoding="utf-8")
    write_csv(folder / "comparison.csv", comparison_tables(comparison))
    to_frame(records).to_csv(folder / "results.csv", index=False)
    print_tables(tables, notes)
    print(f"report: {file}  table: {folder / 'comparison.csv'}  "
          f"cells: {folder / 'results.csv'}")  # fmt: skip
    return file
