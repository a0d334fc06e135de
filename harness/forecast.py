"""`python -m harness.forecast SUITE --gpu rtx4090`: peak CUDA memory of every cell, with no GPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.command import (
    DONE,
    FAILED,
    Only,
    Overrides,
    Plugins,
    SuiteFile,
    command,
    examples,
    new_app,
    refuse_unwritable,
    write_json,
)
from harness.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.forecasting.cards import Card
    from harness.forecasting.forecaster import Forecaster
    from harness.forecasting.result import Forecast
    from harness.suite.cell import Cell

app = new_app()
EXAMPLES = examples(
    "headroom forecast suites/safe_squad_shape.yaml --gpu rtx4090,a6000",
    "headroom forecast suites/glue.yaml --gpu a6000 tasks=[rte] --max-batch",
    "headroom forecast suites/safe_squad_shape.yaml --explain '*/bert-large*/*'",
)


@command(app, epilog=EXAMPLES)
def forecast(
    file: SuiteFile,
    overrides: Overrides = None,
    gpu: Annotated[
        str, typer.Option(help="cards, such as rtx4090,a6000 or custom:11.6:8.6")
    ] = "rtx4090",
    only: Only = "*",
    plugin: Plugins = None,
    max_batch: Annotated[bool, typer.Option(help="find the largest batch that fits")] = False,
    explain: Annotated[
        str | None, typer.Option(metavar="CELL", help="what holds the peak of this cell, and why")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write all figures here")] = None,
    native: Annotated[
        bool, typer.Option("--native", help="compare with fake tensors of this machine's GPU")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; default: cores")] = None,
    cache: Annotated[bool, typer.Option(help="reuse forecasts of the same code")] = True,
) -> int:
    """Forecast every cell of a suite on every card: peaks, split, and whether it fits."""
    from harness.forecasting.cache import cache_folder
    from harness.forecasting.cards import find_card
    from harness.forecasting.cells import forecast_cells
    from harness.forecasting.forecaster import Forecaster
    from harness.forecasting.largest import add_max_batch
    from harness.reporting.terminal import counting
    from harness.suite.load import load_suite
    from harness.suite.preflight import check_models
    from harness.suite.suite import choose

    if explain is not None:
        _refuse_beside_explain(
            {"--max-batch": max_batch, "--native": native, "--only": only != "*"}
        )
    if json_file is not None:
        refuse_unwritable(json_file)
    cards = [find_card(name) for name in gpu.split(",") if name.strip()]
    if not cards:
        raise UserError("--gpu: name at least one card")
    cells = load_suite(file, overrides or [], plugin or []).cells()
    chosen = choose(cells, only) if explain is None else choose(cells, explain, "--explain")
    check_models(chosen, to_run=False)
    with counting("forecast") as progress:
        forecaster = Forecaster(cache_folder() if cache else None, workers, progress)
        if explain is not None:
            return _explain(forecaster, chosen, cards, json_file)
        forecasts = forecast_cells(forecaster, chosen, cards)
        if native:
            _compare_native(forecaster, chosen, cards, forecasts)
        if max_batch:
            forecasts = add_max_batch(forecaster, chosen, cards, forecasts)
    return _show(forecasts, json_file)


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


def _show(forecasts: list[Forecast], json_file: Path | None) -> int:
    """Print the table; write every figure as JSON. A cell without a forecast makes the exit 1."""
    from harness.reporting.forecasts import forecast_notes, forecast_table
    from harness.reporting.terminal import print_tables

    print_tables([forecast_table(forecasts)], forecast_notes(forecasts))
    write_json(json_file, [entry.model_dump(mode="json") for entry in forecasts])
    return FAILED if any(entry.error for entry in forecasts) else DONE


def _refuse_beside_explain(given: dict[str, bool]) -> None:
    options = [option for option, is_given in given.items() if is_given]
    if options:
        raise UserError(f"--explain looks at one cell as it is; leave out {', '.join(options)}")


def _explain(
    forecaster: Forecaster, cells: Sequence[Cell], cards: Sequence[Card], json_file: Path | None
) -> int:
    from harness.forecasting.explain import explain
    from harness.reporting.explained import (
        explanation_data,
        explanation_notes,
        explanation_tables,
    )
    from harness.reporting.terminal import print_tables

    if len(cells) > 1:
        paths = ", ".join(cell.path for cell in cells[:4])
        raise UserError(f"--explain matches {len(cells)} cells; name one, such as {paths}")
    explanation = explain(forecaster, cells[0], cards)
    print_tables(explanation_tables(explanation), explanation_notes(explanation))
    write_json(json_file, explanation_data(explanation))
    return 0


if __name__ == "__main__":
    app()
