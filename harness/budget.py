"""`python -m harness.budget check|update SUITE_OR_RUNS --budget FILE`: what may not grow."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.command import Plugins, command, new_app
from harness.errors import UserError
from harness.untrusted import said

app = new_app()
GPU = "rtx4090"
EXIT_CODES = (
    "Exit codes: 0 within, 1 over or slower, 2 bad input or a file that cannot be read or written, \
3 a budgeted cell has no figure or none is budgeted, 4 other software versions than the file's, \
70 no verdict: an error of headroom's own."
)

Source = Annotated[
    Path, typer.Argument(help="a suite's YAML file (forecast) or a run folder (measured)")
]
Budget = Annotated[Path, typer.Option(help="the budget file, such as suites/budgets/forecast.yaml")]
Gpu = Annotated[str, typer.Option(help="card to forecast for")]


@command(app, epilog=EXIT_CODES)
def check(
    source: Source,
    budget: Budget,
    gpu: Gpu = GPU,
    plugin: Plugins = None,
    summary: Annotated[
        Path | None, typer.Option(help="append Markdown here; default $GITHUB_STEP_SUMMARY")
    ] = None,
    ratchet: Annotated[bool, typer.Option(help="a win beyond the tolerance fails, too")] = False,
    other_versions: Annotated[
        bool, typer.Option(help="with other software versions: print what moved, accept it")
    ] = False,
) -> int:
    """Compare every cell's peak with its budget, and its step time where the file has one.

    It holds what the file has: there is no --time here, update writes step times into the file.
    """
    from harness.budgets.compare import compare
    from harness.budgets.figures import figures_of
    from harness.budgets.file import read_budget, software
    from harness.budgets.wording import lines, markdown

    old = read_budget(budget)
    moved = old.software != software()
    if moved:
        print(f"no verdict: {budget} was made with {old.software}, here is {software()}; "
              f"{_update(source, budget, gpu, plugin)}")  # fmt: skip
        if not other_versions:
            return 4
    figures = figures_of(source, gpu, plugin or [], bool(old.steps))
    verdict = compare(old, figures)
    for line in lines(verdict, _update(source, budget, gpu, plugin)):
        print(line)
    target = summary or os.environ.get("GITHUB_STEP_SUMMARY")
    if target:
        _append(Path(target), markdown(verdict, str(budget)))
    return verdict.exit_code(ratchet, blind=moved)


@command(app)
def update(
    source: Source,
    budget: Budget,
    reason: Annotated[str, typer.Option(help="why the budget moves; kept in the file")],
    gpu: Gpu = GPU,
    plugin: Plugins = None,
    time: Annotated[
        bool | None,
        typer.Option("--time/--no-time", help="hold step times, too; default: as the file does"),
    ] = None,
) -> None:
    """Write new budgets for the cells that moved; all others keep their line."""
    from harness.budgets.figures import figures_of
    from harness.budgets.file import read_budget, updated, write_budget

    if not reason.strip():
        raise UserError("--reason: say why the budget moves")
    held = budget.exists() and bool(read_budget(budget).steps)
    figures = figures_of(source, gpu, plugin or [], held if time is None else time)
    new, moved = updated(budget, figures, reason.strip())
    write_budget(budget, new)
    print(f"{budget}: {len(new.cells)} cells, {len(moved)} moved")
    for path in moved:
        print(f"  {path}")


def _append(summary: Path, text: str) -> None:
    """Write the summary; where it cannot be written, the verdict stands."""
    try:
        with summary.open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        print(f"no summary in {summary}: {said(error)}", file=sys.stderr)


def _update(source: Path, budget: Path, gpu: str, plugins: list[str] | None) -> str:
    """Return the command that accepts the figures as they are."""
    words = ["python -m harness.budget update", str(source), "--budget", str(budget)]
    words += [] if gpu == GPU else ["--gpu", gpu]
    words += [word for name in plugins or [] for word in ("--plugin", name)]
    return " ".join([*words, "--reason '...'"])


if __name__ == "__main__":
    app()
