"""`python -m harness.merge RUNS... --out DIR`: what several machines ran of a suite, as one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.command import DONE, FAILED, command, examples, new_app

app = new_app()
EXAMPLES = examples("headroom merge runs/on_a runs/on_b --out runs/all")


@command(app, epilog=EXAMPLES)
def merge(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS...", help="run folders of one suite")],
    out: Annotated[Path, typer.Option(help="the run folder that they become")],
) -> int:
    """Copy the records of run folders, with logs, checkpoints and exports, into one.

    A final record counts before others, then the first folder's. `headroom run` goes on there. The
    exit code is 1 where a record cannot be read.
    """
    from harness.merging import merge
    from harness.paths import user_path
    from harness.printed import lines

    merged = merge([user_path(folder) for folder in runs], user_path(out))
    for folder, number in merged.taken.items():
        print(f"{number:7} records of {folder}")
    if merged.missing:
        print(f"{merged.missing:7} cells without one: `headroom run` with --out {out} goes on")
    if merged.twice:
        print(f"{len(merged.twice):7} have other results in a later folder, left there: such as "
              f"{merged.twice[0]}")  # fmt: skip
    for told in merged.left_out:
        print(f"cannot be read: {lines(told)}")
    return FAILED if merged.left_out else DONE


if __name__ == "__main__":
    app()
