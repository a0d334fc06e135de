"""`python -m harness.report RUNS`: the comparison of a run folder as Markdown and CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.errors import UserError, exit_on_user_error

if TYPE_CHECKING:
    from harness.store import Store

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def report(
    runs: Annotated[Path, typer.Argument(help="run folder, such as runs/quick")],
    out: Annotated[Path | None, typer.Option(help="where to write; default: that folder")] = None,
) -> None:
    """Write report.md, comparison.csv and results.csv from a run folder's records."""
    from harness.store import Store

    with exit_on_user_error():
        write_report(Store(runs), terminal=True, out=out)


def write_report(store: Store, *, terminal: bool, out: Path | None = None) -> Path:
    """Write the report of the store's current cells and return the Markdown file.

    Raises:
        UserError: the folder holds no records.
    """
    from harness.reporting.compacted import compacted_notes, compacted_tables
    from harness.reporting.comparison import compare
    from harness.reporting.markdown import render, write_csv
    from harness.reporting.phases import phase_notes, phase_tables
    from harness.reporting.tables import caption, comparison_tables

    manifest, records = store.manifest(), store.records()
    if not records:
        raise UserError(f"{store.folder} holds no records yet")
    comparison = compare(records, manifest["suite"].get("baseline"))
    tables = [
        *comparison_tables(comparison), *phase_tables(records), *compacted_tables(records),
    ]  # fmt: skip
    notes = [*caption(comparison), *phase_notes(records), *compacted_notes(records)]
    folder = out or store.folder
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "report.md"
    file.write_text(render(manifest, records, tables, notes), encoding="utf-8")
    write_csv(folder / "comparison.csv", comparison_tables(comparison))
    from harness.store import to_frame

    to_frame(records).to_csv(folder / "results.csv", index=False)
    if terminal:
        from harness.reporting.terminal import print_tables

        print_tables(tables, notes)
        print(f"report: {file}  table: {folder / 'comparison.csv'}  "
              f"cells: {folder / 'results.csv'}")  # fmt: skip
    return file


if __name__ == "__main__":
    app()
