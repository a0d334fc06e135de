"""`python -m harness.fit MODEL --gpu rtx4090`: what fits a card, how fast, and what to change."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.command import (
    DONE,
    FAILED,
    Plugins,
    command,
    examples,
    new_app,
    refuse_unwritable,
    write_json,
)
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.fitting.answer import Answer, Row
    from harness.fitting.solve import Farther

app = new_app()
EXAMPLES = examples(
    "headroom fit llama-2-7b --gpu rtx4090",
    "headroom fit Qwen/Qwen2.5-7B --gpu a6000 --length 4096 --batch 16 --methods lora,qlora",
    "headroom fit roberta-large --gpu t4 --task classification --length 256 --batch 32",
    "headroom fit llama-3.2-3b --gpu rtx3090 train.attention=sdpa --suite fit.yaml",
    "headroom fit llama-2-7b --gpu rtx4090 --solve rank --frontier batch,length",
)


@command(app, epilog=EXAMPLES)
def fit(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="of the hub, of the catalogue, a folder, or a trainer's config"
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[train.KEY=VALUE]...", help="settings that hold for all"),
    ] = None,
    gpu: Annotated[str, typer.Option(help="a card (headroom ls gpus)")] = "rtx4090",
    length: Annotated[int | None, typer.Option(min=1, help="tokens of an example; 2048")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="examples of a step; 1")] = None,
    methods: Annotated[
        str | None, typer.Option(metavar="NAMES", help="such as lora,qlora,houlsby,peft:VERA")
    ] = None,
    rank: Annotated[int, typer.Option(min=1, help="of methods that have one")] = 16,
    task: Annotated[
        str | None, typer.Option(help="a family or a task (headroom ls families, ls tasks)")
    ] = None,
    trainer: Annotated[
        str | None,
        typer.Option("--from", metavar="TRAINER", help="whose config MODEL is, if it is a file"),
    ] = None,
    suite: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write the suite that would run a row")
    ] = None,
    row: Annotated[
        int | None, typer.Option(min=1, help="of --suite, --solve and --frontier: which row; 1")
    ] = None,
    solve: Annotated[
        str | None,
        typer.Option(metavar="SETTING", help="the largest batch, length, rank or layers of a row"),
    ] = None,
    frontier: Annotated[
        str | None, typer.Option(metavar="batch,length", help="how both trade in a row")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write all figures here")] = None,
    plugin: Plugins = None,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; default: cores")] = None,
    cache: Annotated[bool, typer.Option(help="reuse forecasts of the same code")] = True,
) -> int:
    """Search what fits a card at this batch and length: no GPU, no weights, no suite.

    Where nothing fits the exit code is 1.
    """
    from harness.fitting.answer import answer
    from harness.fitting.asking import Typed, wanted_of
    from harness.fitting.solve import Farther, farther, refuse_unknown
    from harness.forecasting.cache import cache_folder
    from harness.forecasting.forecaster import Forecaster
    from harness.plugins import load_plugins
    from harness.recipes.models import refuse_unreachable
    from harness.reporting.farther import farther_data
    from harness.reporting.fit_notes import first_words, fit_data
    from harness.reporting.terminal import counting

    for written in (json_file, suite):
        if written is not None:
            refuse_unwritable(written)
    refuse_unknown(solve, frontier)
    if row is not None and not (suite or solve or frontier):
        raise UserError(f"--row {row}: it says which row --suite, --solve and --frontier are of")
    number = row or 1
    load_plugins(plugin or [], Path())
    typed = Typed(model, gpu, rank, length, batch, methods, task, trainer, overrides or [])
    wanted = wanted_of(typed)
    refuse_unreachable(wanted.model.spec, f"headroom fit {model}")
    with counting("forecast") as progress:
        forecaster = Forecaster(cache_folder() if cache else None, workers, progress)
        found = answer(forecaster, wanted, lambda one: _tell(first_words(one)))
        more = Farther()
        if number <= len(found.rows) and (solve or frontier):
            asked = " and of ".join(filter(None, [solve, frontier]))
            _tell(f"row {number}: looking for the largest values of {asked}")
            cell = found.rows[number - 1].found.cell
            more = farther(forecaster, cell, wanted.card, solve, frontier)
    _show(found, more, number)
    write_json(json_file, {**fit_data(found), **farther_data(more)})
    if not found.rows:
        return FAILED
    if number > len(found.rows):
        raise UserError(f"--row {number}: the answer has {len(found.rows)} rows")
    if suite is not None:
        _write_suite(suite, found.rows[number - 1], found)
    return DONE


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(found: Answer, more: Farther, row: int) -> None:
    from harness.reporting.farther import farther_notes, farther_tables
    from harness.reporting.fit import WIDE, fit_tables
    from harness.reporting.fit_notes import fit_notes
    from harness.reporting.terminal import print_tables, terminal_width

    tables = fit_tables(found, wide=terminal_width() >= WIDE) + farther_tables(more, row)
    print_tables(tables, fit_notes(found) + farther_notes(more))


def _write_suite(file: Path, row: Row, found: Answer) -> None:
    from harness.fitting.answer import suite_of_row

    file.write_text(suite_of_row(row, found.wanted), encoding="utf-8")
    print(f"suite: {file}")


if __name__ == "__main__":
    app()
