"""`python -m harness.budget check|update SUITE_OR_RUNS --budget FILE`: what may not grow."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.command import Plugins, command, new_app
from harness.errors import UserError
from harness.printed import one_line
from harness.untrusted import said

if TYPE_CHECKING:
    from harness.budgets.file import Budget

app = new_app()
GPU = "rtx4090"
EXIT_CODES = (
    "Exit codes: 0 within, 1 over or slower, 2 bad input or a file that cannot be read or written, \
3 a budgeted cell has no figure or was changed, or none is budgeted (--strict: or one is new), \
4 other software versions than the file's and nothing to compare with, \
70 no verdict: an error of headroom's own."
)

Source = Annotated[
    Path, typer.Argument(help="a suite's YAML file (forecast) or a run folder (measured)")
]
BudgetFile = Annotated[
    Path, typer.Option("--budget", help="the budget file, such as suites/budgets/forecast.yaml")
]
Cards = Annotated[
    str | None,
    typer.Option("--gpu", help=f"cards, such as a6000,l4; default: the file's, else {GPU}"),
]


@command(app, epilog=EXIT_CODES)
def check(
    source: Source,
    budget: BudgetFile,
    gpu: Cards = None,
    plugin: Plugins = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="REV",
            help="with other software versions than the file's: forecast what REV and HEAD have in "
            "common here, and compare with that; default: the commit before the file last moved",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option(help="new cells and changed ones fail, too, until they are accepted")
    ] = False,
    ratchet: Annotated[bool, typer.Option(help="a win beyond the tolerance fails, too")] = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write a test case per cell and card")
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(help="append Markdown here; default $GITHUB_STEP_SUMMARY")
    ] = None,
) -> int:
    """Compare every cell's peak with its budget, and its step time where the file has one.

    It holds what the file has: there is no --time here, update writes step times into the file.
    """
    from harness.budgets.file import read_budget
    from harness.budgets.judging import Asked, judged
    from harness.budgets.junit import junit_text
    from harness.budgets.markdown import markdown
    from harness.budgets.wording import told
    from harness.command import refuse_unwritable
    from harness.comparing.ancestry import unknown

    if junit is not None:
        refuse_unwritable(junit)
    old = read_budget(budget)
    if against is not None and (why := unknown(source, against)):
        print(f"--against {against}: {why}; needed as soon as versions move", file=sys.stderr)
    found = judged(old, Asked(source, budget, _names(gpu), tuple(plugin or ()), against))
    accept = _update(source, budget, gpu, plugin)
    for line in told(found, accept, strict):
        print(one_line(line))
    if junit is not None:
        junit.write_text(junit_text(found, str(budget), ratchet, strict), encoding="utf-8")
    target = summary or os.environ.get("GITHUB_STEP_SUMMARY")
    if target:
        _append(Path(target), markdown(found, str(budget), accept))
    return found.verdict.exit_code(ratchet, strict)


@command(app)
def update(
    source: Source,
    budget: BudgetFile,
    reason: Annotated[str, typer.Option(help="why the budget moves; kept with its cells")],
    gpu: Cards = None,
    plugin: Plugins = None,
    only_failing: Annotated[
        bool, typer.Option("--only-failing", help="leave wins, and cells that are within")
    ] = False,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=SHARE",
            help="how far a metric may move, such as reserved=0.05; may be repeated",
        ),
    ] = None,
    time: Annotated[
        bool | None,
        typer.Option("--time/--no-time", help="hold step times, too; default: as the file does"),
    ] = None,
) -> None:
    """Write new budgets for the cells that moved; all others keep their block."""
    from harness.budgets.accepting import Accepted, failing, tolerances, updated
    from harness.budgets.figures import figures_of
    from harness.budgets.file import read_budget, write_budget

    if not reason.strip():
        raise UserError("--reason: say why the budget moves")
    old = read_budget(budget) if budget.exists() else None
    asked = Accepted(" ".join(reason.split()), tolerances(tolerance or []))
    timed = (old is not None and old.steps) if time is None else time
    figures = figures_of(source, _cards(source, gpu, old), plugin or [], timed)
    if only_failing:
        asked = failing(old, figures, asked)
    new, moved = updated(old, figures, asked)
    write_budget(budget, new)
    if old is not None and old.history and not any(row.key for row in old.spots.values()):
        print(f"{budget}: written as schema 2; it was of schema 1")
    print(f"{budget}: {len(new.spots)} budgets, {len(moved)} moved")
    for spot in moved:
        print(f"  {spot.card}: {spot.path}")


def _names(gpu: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in (gpu or "").split(",") if name.strip())
    if gpu is not None and not names:
        raise UserError("--gpu: name at least one card")
    return names


def _cards(source: Path, gpu: str | None, old: Budget | None) -> tuple[str, ...]:
    """Return the cards to make figures of: those named, the file's, or the default."""
    if source.is_dir() or gpu is not None:
        return _names(gpu)
    return tuple(old.cards) if old is not None and old.kind == "forecast" else (GPU,)


def _append(summary: Path, text: str) -> None:
    """Write the summary; where it cannot be written, the verdict stands."""
    try:
        with summary.open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        print(f"no summary in {summary}: {said(error)}", file=sys.stderr)


def _update(source: Path, budget: Path, gpu: str | None, plugins: list[str] | None) -> str:
    """Return the command that accepts the figures as they are."""
    words = ["headroom", "budget", "update", str(source), "--budget", str(budget)]
    words += ["--gpu", gpu] if gpu else []
    words += [word for name in plugins or [] for word in ("--plugin", name)]
    return f"{shlex.join(words)} --reason '...'"


if __name__ == "__main__":
    app()
