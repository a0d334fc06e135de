"""`python -m harness.report RUNS`: the comparison of a run folder as Markdown and CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.command import command, new_app

app = new_app()


@command(app)
def report(
    runs: Annotated[Path, typer.Argument(help="run folder, such as runs/quick")],
    out: Annotated[Path | None, typer.Option(help="where to write; default: that folder")] = None,
) -> None:
    """Write report.md, comparison.csv and results.csv from a run folder's records."""
    from harness.reporting.report import write_report
    from harness.store import Store

    write_report(Store(runs), out)


if __name__ == "__main__":
    app()
