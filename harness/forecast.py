"""`python -m harness.forecast SUITE --gpu rtx4090`: peak CUDA memory of every cell, with no GPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.command import (
    DONE,
    FAILED,
    Only,
    Overrides,
    Plugins,
    command,
    command_line,
    examples,
    new_app,
    refuse_unwritable,
    write_json,
)
from harness.errors import UserError
from harness.recipes import IMPORTERS, read
from harness.recipes.telling import whose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.forecasting.cards import Card
    from harness.forecasting.forecaster import Forecaster
    from harness.forecasting.result import Forecast
    from harness.recipes.imported import Imported
    from harness.reporting.columns import Table
    from harness.suite.cell import Cell

app = new_app()
EXAMPLES = examples(
    "headroom forecast suites/safe_squad_shape.yaml --gpu rtx4090,a6000",
    "headroom forecast suites/glue.yaml --catalogued --gpu a6000 tasks=[rte] --max-batch",
    "headroom forecast suites/safe_squad_shape.yaml --sweep batch=8,16,32 --out forecast",
    "headroom forecast suites/safe_squad_shape.yaml --explain '*/bert-large*/*' --out why",
    "headroom forecast suites/quick.yaml --explain '*/lora-r8/*' --against '*/full/*'",
    "headroom forecast --from axolotl config.yml --gpu rtx4090",
)


@command(app, epilog=EXAMPLES)
def forecast(
    file: Annotated[
        Path, typer.Argument(metavar="SUITE", help="the suite's YAML file; --from: a trainer's")
    ],
    overrides: Overrides = None,
    trainer: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="TRAINER", help=f"the file is a config of: {', '.join(IMPORTERS)}"
        ),
    ] = None,
    suite_out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="of --from: write the suite that the config became"),
    ] = None,
    gpu: Annotated[
        str, typer.Option(help="cards, such as rtx4090,a6000 or custom:11.6:8.6")
    ] = "rtx4090",
    only: Only = "*",
    plugin: Plugins = None,
    max_batch: Annotated[bool, typer.Option(help="find the largest batch that fits")] = False,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="batch=N,...|length=N,...",
            help="also at these batch sizes or lengths; once for each of the two",
        ),
    ] = None,
    explain: Annotated[
        str | None, typer.Option(metavar="CELL", help="what holds the peak of this cell, and why")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="CELL", help="of --explain: what came and went against this cell"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="write a report here: Markdown, figures, CSV, JSON"),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write all figures here")] = None,
    native: Annotated[
        bool, typer.Option("--native", help="compare with fake tensors of this machine's GPU")
    ] = False,
    catalogued: Annotated[
        bool, typer.Option(help="models of the hub by the catalogue's configs, without the hub")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; default: cores")] = None,
    cache: Annotated[bool, typer.Option(help="reuse forecasts of the same code")] = True,
) -> int:
    """Forecast every cell of a suite on every card: peaks, split, and whether it fits.

    A cell without a forecast makes the exit code 1.
    """
    from harness.explaining import Telling, cells_of, refuse_beside_explain, tell
    from harness.forecasting.cache import cache_folder
    from harness.forecasting.cards import find_card
    from harness.forecasting.cells import forecast_cells
    from harness.forecasting.forecaster import Forecaster
    from harness.forecasting.largest import add_max_batch
    from harness.forecasting.sweeps import add_sweeps, sweeps_of
    from harness.recipes.models import refuse_unnamed, refuse_unreachable
    from harness.reporting.terminal import counting
    from harness.suite.extending import read_suite
    from harness.suite.load import suite_of
    from harness.suite.preflight import check_models
    from harness.suite.suite import choose

    refuse_beside_explain(
        explain, against,
        {"--max-batch": max_batch, "--native": native, "--only": only != "*",
         "--sweep": bool(sweep)},
    )  # fmt: skip
    sweeps = sweeps_of(sweep or [])
    for written in (json_file, suite_out, out and out / "report.md"):
        if written is not None:
            refuse_unwritable(written)
    cards = [find_card(name) for name in gpu.split(",") if name.strip()]
    if not cards:
        raise UserError("--gpu: name at least one card")
    imported = _imported(trainer, file, suite_out, cards)
    if imported is not None:
        refuse_unnamed(imported, overrides or [])
        imported = imported.beside(overrides or [])
    document = imported.document() if imported else read_suite(file)
    try:
        suite = suite_of(document, overrides or [], plugin or [], file.parent)
    except UserError as error:
        raise UserError(f"{error}{whose(document.data)}") from None
    cells = suite.cells()
    chosen = choose(cells, only) if explain is None else cells_of(cells, explain, against)
    if catalogued:
        chosen = [_with_catalogued(cell) for cell in chosen]
    check_models(chosen, to_run=False)
    if imported is not None:
        for cell in chosen:
            refuse_unreachable(cell.model, imported.source)
    asked = command_line(
        "forecast", str(file), *(overrides or []), **{"from": trainer}, gpu=gpu, only=only,
        plugin=plugin,
        max_batch=max_batch, sweep=sweep, explain=explain, against=against, out=out, native=native,
        catalogued=catalogued,
    )  # fmt: skip
    with counting("forecast") as progress:
        forecaster = Forecaster(cache_folder() if cache else None, workers, progress)
        if explain is not None:
            told = imported.notes() if imported else []
            tell(forecaster, chosen, cards, Telling(asked, told, json_file, out))
            return DONE
        forecasts = forecast_cells(forecaster, chosen, cards)
        if native:
            _compare_native(forecaster, chosen, cards, forecasts)
        if max_batch:
            forecasts = add_max_batch(forecaster, chosen, cards, forecasts)
        if sweeps:
            forecasts = add_sweeps(forecaster, chosen, cards, forecasts, sweeps)
    if imported is not None:
        forecasts = [entry.model_copy(update={
            "assumptions": [*imported.assumed, *entry.assumptions],
            "differs": imported.departures(),
        }) for entry in forecasts]  # fmt: skip
    _show(forecasts, json_file)
    if out is not None:
        from harness.reporting.forecast_report import report_of_forecasts, write

        write(report_of_forecasts(suite, bool(overrides), asked, forecasts), out)
    return FAILED if any(entry.error for entry in forecasts) else DONE


def _imported(
    trainer: str | None, file: Path, suite_out: Path | None, cards: Sequence[Card]
) -> Imported | None:
    """Read a trainer's file and write the suite that it became; None: the file is a suite."""
    from harness.forecasting.cards import have_bf16

    if trainer is None:
        if suite_out is not None:
            raise UserError("--suite-out writes what a trainer's file became; it goes with --from")
        return None
    imported = read(trainer, file, have_bf16(cards))
    if suite_out is not None:
        suite_out.write_text(imported.text(), encoding="utf-8")
        print(f"suite: {suite_out}")
    return imported


def _with_catalogued(cell: Cell) -> Cell:
    """Return the cell with a config that is here.

    Raises:
        UserError: its model is of the hub and not in the catalogue.
    """
    model = cell.model.catalogued()
    if model.hub:
        raise UserError(f"--catalogued: {model.hub} is not in the catalogue (headroom ls models)")
    return cell.model_copy(update={"model": model})


def _compare_native(
    forecaster: Forecaster, cells: Sequence[Cell], cards: Sequence[Card], forecasts: list[Forecast]
) -> None:
    """Forecast once more with the GPU's own choices and print each difference."""
    from harness.forecasting.cells import forecast_cells
    from harness.gpus import installed

    if not installed():
        raise UserError("--native: there is no NVIDIA GPU on this machine")
    for ours, theirs in zip(forecasts, forecast_cells(forecaster, cells, cards, True), strict=True):
        if ours.peak_allocated and theirs.peak_allocated:
            share = ours.peak_allocated / theirs.peak_allocated - 1
            figures = f"{ours.peak_allocated} B, native {theirs.peak_allocated} B: {share:+.4%}"
        else:
            figures = f"no comparison: {ours.error or theirs.error}"
        print(f"{ours.cell} {ours.gpu} {ours.stage}: stand-in {figures}")


def _show(forecasts: list[Forecast], json_file: Path | None) -> None:
    """Print the tables; write every figure as JSON."""
    from harness.reporting.forecasts import forecast_notes, forecast_table, without_equal_seeds
    from harness.reporting.run_times import run_time_notes, run_time_tables
    from harness.reporting.step_times import step_time_notes, step_time_tables
    from harness.reporting.swept import swept_notes, swept_tables
    from harness.reporting.terminal import print_tables

    distinct = without_equal_seeds(forecasts)
    tables: list[Table[Any]] = [
        forecast_table(forecasts),
        *step_time_tables(distinct),
        *run_time_tables(distinct),
        *swept_tables(distinct),
    ]
    notes = [
        *forecast_notes(forecasts),
        *step_time_notes(forecasts),
        *run_time_notes(forecasts),
        *swept_notes(distinct),
    ]
    print_tables(tables, notes)
    write_json(json_file, [entry.model_dump(mode="json") for entry in forecasts])


if __name__ == "__main__":
    app()
