"""`python -m harness.compare BEFORE AFTER`: what differs between two sides, and what it moved."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.command import (
    DONE,
    FAILED,
    Only,
    Plugins,
    command,
    examples,
    new_app,
    refuse_unwritable,
    write_json,
)
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.comparing.sides import Side

app = new_app()
EXAMPLES = examples(
    "headroom compare runs/before runs/after",
    "headroom compare before.json after.json --out runs/compared",
    "headroom compare --forecast suites/upgrade.yaml --with transformers==5.21.0",
    "headroom compare --forecast suites/upgrade.yaml --rev HEAD~1",
)


@command(app, epilog=EXAMPLES)
def compare(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BEFORE AFTER]",
            help="run folders, or files of forecast --json; with --forecast KEY=VALUE...",
        ),
    ] = None,
    suite: Annotated[
        Path | None,
        typer.Option("--forecast", metavar="SUITE", help="forecast this suite on both sides"),
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="NAME==VERSION", help="after: installed, but for this"),
    ] = None,
    from_: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="NAME==VERSION", help="before: installed, but for this"),
    ] = None,
    python: Annotated[
        Path | None, typer.Option(metavar="FILE", help="after: the packages of this Python")
    ] = None,
    rev: Annotated[
        list[str] | None,
        typer.Option(metavar="REV", help="before: this git revision; a second one: after"),
    ] = None,
    repo: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="repository of --rev, headroom's or of plug-ins"),
    ] = None,
    gpu: Annotated[str, typer.Option(help="cards to forecast for")] = "rtx4090",
    only: Only = "*",
    plugin: Plugins = None,
    catalogued: Annotated[
        bool, typer.Option(help="models of the hub by the catalogue's configs, without the hub")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write all figures here")] = None,
    out: Annotated[
        Path | None, typer.Option(help="write compare.md and compare.csv into this folder")
    ] = None,
) -> int:
    """Say what differs between two sides and what moved: bytes by category and place, scores, time.

    The exit code is 0 also where much moved; 1 where a cell has figures on one side alone, or none
    is compared.
    """
    from harness.comparing.moves import compare
    from harness.comparing.report import data, show, write

    if json_file is not None:
        refuse_unwritable(json_file)
    if suite is None:
        _refuse_without_forecast(
            {"--with": with_, "--from": from_, "--python": python, "--rev": rev, "--repo": repo}
        )
        before, after = _read(sources or [])
    else:
        options = [*(sources or []), "--gpu", gpu, "--only", only]
        options += [word for name in plugin or [] for word in ("--plugin", name)]
        options += ["--catalogued"] if catalogued else []
        before, after = _forecast(suite, with_, from_, python, rev, repo, options)
    comparison = compare(before, after)
    show(comparison)
    if out is not None:
        write(comparison, out)
    write_json(json_file, data(comparison))
    return DONE if comparison.is_whole else FAILED


def _read(sources: list[str]) -> tuple[Side, Side]:
    from harness.comparing.source import read_side
    from harness.paths import user_path

    if len(sources) != 2:
        raise UserError(
            "name two run folders or two files of forecasts; or --forecast SUITE with --with, "
            "--python or --rev"
        )
    first, second = (read_side(user_path(source)) for source in sources)
    return first, second


def _refuse_without_forecast(given: dict[str, object]) -> None:
    options = [option for option, value in given.items() if value]
    if options:
        raise UserError(f"{', '.join(options)}: name the suite, --forecast SUITE")


def _forecast(
    suite: Path,
    with_: list[str] | None,
    from_: list[str] | None,
    python: Path | None,
    rev: list[str] | None,
    repo: Path | None,
    options: list[str],
) -> tuple[Side, Side]:
    from harness.comparing.child import forecast_in
    from harness.comparing.places import of_environments, of_interpreter, of_revisions

    ways = [bool(with_ or from_), python is not None, bool(rev)]
    if sum(ways) != 1:
        raise UserError("--forecast: say what differs, by one of --with/--from, --python, --rev")
    if repo and not rev:
        raise UserError("--repo: name the revision, --rev REV")
    if rev and len(rev) > 2:
        raise UserError("--rev: two revisions at most")
    if not suite.is_file():
        raise UserError(f"{suite}: no such file")
    with ExitStack() as stack:
        if rev:
            places = stack.enter_context(of_revisions(suite, rev, repo))
        elif python is not None:
            places = of_interpreter(suite, python)
        else:
            places = of_environments(suite, from_ or [], with_ or [])
        first, second = forecast_in(places, options, _tell)
        return first, second


def _tell(name: str) -> None:
    print(f"forecasting: {name}", file=sys.stderr)


if __name__ == "__main__":
    app()
