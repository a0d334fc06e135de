"""`python -m harness.report RUNS`: the comparison of a run folder as Markdown and CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.command import DONE, FAILED, command, new_app

app = new_app()


@command(app)
def report(
    runs: Annotated[Path, typer.Argument(help="run folder, such as runs/quick")],
    out: Annotated[Path | None, typer.Option(help="where to write; default: that folder")] = None,
) -> int:
    """Write report.md, comparison.csv and results.csv from a run folder's records.

    Records that cannot be read are named with the reason, in the report too; the exit code is 1.
    """
    from harness.reporting.report import report_of, write
    from harness.store import Store

    made = report_of(Store(runs))
    write(made, out or runs)
    return FAILED if made.left_out else DONE


if __name__ == "__main__":
    app()
