"""`python -m harness.doctor RUNS...`: what is in run folders, and what cannot be read there."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.command import DONE, FAILED, command, examples, new_app, refuse_unwritable, write_json
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.inspection import Inspection

app = new_app()
STANDARD_OUTPUT = Path("-")
EXAMPLES = examples("headroom doctor runs/*", "headroom doctor runs/quick --json -")


@command(app, epilog=EXAMPLES)
def doctor(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUNS", help="run folders, such as runs/quick")
    ],
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="write it here, too; -: print it instead"),
    ] = None,
) -> int:
    """List what run folders hold, and each file in them that cannot be read, with the reason.

    Nothing is changed. The exit code is 1 where something is wrong; what is only noted (drafts, a
    lock that is held, checkpoints that no cell waits for, little space) leaves it 0.
    """
    from harness.inspection import inspect, is_run
    from harness.paths import user_path
    from harness.store import Store

    folders = [user_path(folder) for folder in runs]
    for folder in folders:
        if not is_run(folder):
            raise UserError(f"{folder} holds no run{_runs_below(folder)}")
    if json_file is not None and json_file != STANDARD_OUTPUT:
        refuse_unwritable(json_file)
    found = [inspect(Store(folder)) for folder in folders]
    content = [asdict(each) for each in found]
    if json_file == STANDARD_OUTPUT:
        print(json.dumps(content, indent=1))
    else:
        for each in found:
            print("\n".join(_lines(each)))
        write_json(json_file, content)
    return FAILED if any(each.wrong for each in found) else DONE


def _runs_below(folder: Path) -> str:
    """Return the end of an error: what may have been meant."""
    from harness.store import MANIFEST

    if not folder.is_dir():
        return ": there is no such folder"
    below = sorted(file.parent for file in folder.glob(f"*/{MANIFEST}"))
    return f"; did you mean {' '.join(map(str, below[:3]))}?" if below else ""


def _lines(found: Inspection) -> Iterator[str]:
    """Yield the text about one folder, in the width of the terminal."""
    yield from _wrapped(f"{found.folder}: {_contents(found)}", "")
    for finding in found.findings:
        yield from _wrapped(f"{'wrong' if finding.wrong else 'note'}: {finding.file}", "  ")
        yield from _wrapped(finding.reason, "    ")
    if not found.wrong:
        yield "  nothing is wrong"


def _contents(found: Inspection) -> str:
    from harness.record import MARKS

    if found.suite is None:
        return f"{found.others} records that can be read, of no known suite"
    counts = [f"{number} {MARKS[outcome]}" for outcome, number in found.outcomes.items()]
    without = found.cells - sum(found.outcomes.values())
    counts += [f"{without} without a record that can be read"] if without else []
    others = f"; {found.others} records of other cells" if found.others else ""
    return f"suite {found.suite}, {found.cells} cells: {', '.join(counts) or 'none'}{others}"


def _wrapped(text: str, indent: str) -> list[str]:
    from harness.printed import one_line

    return textwrap.wrap(
        one_line(text), shutil.get_terminal_size().columns, initial_indent=indent,
        subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


if __name__ == "__main__":
    app()
