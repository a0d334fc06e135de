"""The report of a run folder: its files, and the same tables in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import durable
from harness.errors import UserError
from harness.reporting.caption import caption
from harness.reporting.columns import Table
from harness.reporting.compacted import compacted_notes, compacted_tables
from harness.reporting.comparison import Row, compare_methods
from harness.reporting.markdown import render
from harness.reporting.phases import phase_notes, phase_tables
from harness.reporting.spreadsheet import to_frame, write_csv
from harness.reporting.tables import comparison_tables
from harness.reporting.terminal import print_tables
from harness.store import LeftOut
from harness.suite.assumed import sentences
from harness.untrusted import said

if TYPE_CHECKING:
    import pandas as pd

    from harness.record import Record
    from harness.store import Store


@dataclass(frozen=True)
class Report:
    """All that is made of the records, before any of it is written or printed.

    Attributes:
        left_out: records that cannot be read, and those that no table can be made with.
    """

    left_out: list[LeftOut]
    text: str
    comparison: list[Table[Row]]
    tables: list[Table[Any]]
    notes: list[str]
    frame: pd.DataFrame


def make_report(
    manifest: Mapping[str, Any], records: Sequence[Record], left_out: Sequence[LeftOut] = ()
) -> Report:
    """Make the report of at least one record; `left_out` are named in it with their reasons."""
    comparison = compare_methods(records, manifest["suite"].get("baseline"))
    compared = comparison_tables(comparison)
    tables: list[Table[Any]] = [
        *compared, *phase_tables(records), *compacted_tables(records),
    ]  # fmt: skip
    assumed = sentences(manifest["suite"])
    notes = [*caption(comparison), *assumed, *phase_notes(records), *compacted_notes(records)]
    text = render(manifest, records, tables, notes, left_out)
    for table in compared:
        _ = table.figures  # all figures can be had, before the first file is written
    return Report([*left_out], text, compared, tables, notes, to_frame(records))


def write_report(store: Store, out: Path | None = None) -> Path:
    """Write and print the report of the store's current cells; returns the Markdown file.

    Raises:
        UserError: the folder holds no records, or none that a report can be made of.
    """
    return write(report_of(store), out or store.folder)


def report_of(store: Store) -> Report:
    """Make the report of the store's current cells; says on the error stream what is left out.

    Raises:
        UserError: the folder holds no records, or none that a report can be made of.
    """
    manifest = store.manifest()
    report, left_out = report_on(manifest, *store.contents())
    for each in left_out:
        print(f"left out: {each.path}: {each.reason}", file=sys.stderr)
    if report is None:
        why = f" that can be read; {len(left_out)} cannot" if left_out else " yet"
        raise UserError(f"{store.folder} holds no records{why}")
    return report


def report_on(
    manifest: Mapping[str, Any], records: Sequence[Record], left_out: Sequence[LeftOut] = ()
) -> tuple[Report | None, list[LeftOut]]:
    """Make the report of those records that one can be made of; the others are left out, too.

    Returns:
        The report, None where there is no such record, and all that is left out.
    """
    if not records:
        return None, [*left_out]
    try:
        return make_report(manifest, records, left_out), [*left_out]
    except Exception:  # some record has its types right and its content wrong
        records, odd = reportable(manifest, records)
        all_left_out = [*left_out, *odd]
        report = make_report(manifest, records, all_left_out) if records else None
        return report, all_left_out


def write(report: Report, folder: Path) -> Path:
    """Print the report's tables and write its files; returns the Markdown file.

    Raises:
        OSError: a file cannot be written; the tables are printed by then.
    """
    print_tables(report.tables, report.notes)
    file = folder / "report.md"
    durable.write_text(file, report.text)
    write_csv(folder / "comparison.csv", report.comparison)
    durable.write_text(folder / "results.csv", report.frame.to_csv(index=False))
    print(f"report: {file}  table: {folder / 'comparison.csv'}  "
          f"cells: {folder / 'results.csv'}")  # fmt: skip
    return file


def reportable(
    manifest: Mapping[str, Any], records: Sequence[Record]
) -> tuple[list[Record], list[LeftOut]]:
    """Return the records that a report can be made of together, and what is wrong with others.

    A record may have every type right and still hold what no table can be made of: settings that
    are missing, a metric that no other seed has. Each is tried alone and beside those before it.
    """
    kept: list[Record] = []
    odd: list[LeftOut] = []
    for record in records:
        fault = _fault(manifest, [record]) or _fault(manifest, [*kept, record])
        if fault is None:
            kept.append(record)
        else:
            odd.append(LeftOut(record.path, f"no table can be made with it: {said(fault)}"))
    return kept, odd


def _fault(manifest: Mapping[str, Any], records: Sequence[Record]) -> Exception | None:
    try:
        make_report(manifest, records)
    except Exception as error:
        return error
    return None
