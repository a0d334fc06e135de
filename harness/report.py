"""`python -m harness.report RUNS...`: what run folders hold, as tables, figures and a page."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated

import typer

from harness.command import DONE, FAILED, Formats, command, examples, new_app
from harness.errors import UserError

app = new_app()
EXAMPLES = examples(
    "headroom report runs/quick --format md,latex",
    "headroom report runs/on_a runs/on_b --out report --baseline lora-r8",
)


@command(app, epilog=EXAMPLES)
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUNS...", help="run folders, such as runs/quick")
    ],
    out: Annotated[
        Path | None, typer.Option(help="where to write; default: the folder, where it is one")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="METHOD", help="what times and scores are compared with"),
    ] = None,
    formats: Formats = "",
) -> int:
    """Write the report of run folders again: of every record there, by suite and settings.

    Records that cannot be read are named with the reason, in the report too; the exit code is 1.
    """
    from harness.paths import user_path
    from harness.reporting.report import formats_of, report_of, write
    from harness.store import Store

    asked = formats_of(formats)
    folders = [user_path(folder) for folder in runs]
    if out is None and len(folders) > 1:
        raise UserError("several run folders: say with --out where their report goes")
    gc.disable()  # records live to the end: with thousands a fifth of the time went into looking
    try:
        made = report_of([Store(folder) for folder in folders], baseline)
        write(made, out or folders[0], asked)
    finally:
        gc.enable()
    return FAILED if made.left_out else DONE


if __name__ == "__main__":
    app()
