"""Forecasts against all memory that is measured in public, and what of it settings cannot say.

No GPU, no hub, no weights: models by their configs (benchmarks/measured/). Writes README.md,
points.csv and a figure to the folder.

    python benchmarks/measured_forecasts.py [--out reports/measured] [--workers 2]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from measured.others import own_rows, peft_rows, safe_rows
from measured.page import Pair, Tried, against, page, points_csv
from measured.rows import Row, public_rows, repeating
from measured.trials import TRIALS, patched, rows_of

from harness import durable
from harness.forecasting.cache import cache_folder
from harness.forecasting.cards import Card, find_card
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.result import Forecast
from harness.reporting.figures.figure import write
from harness.suite.plan import stages_of

Asked = dict[tuple[str, str], list[Forecast]]  # card and key of a cell -> its stages


def all_of(rows: Sequence[Row], workers: int | None) -> Asked:
    """Return the forecasts of all cells; what no setting says of attention, no cache knows."""
    found = forecasts_of([r for r in rows if not r.repeated], Forecaster(cache_folder(), workers))
    with repeating():
        return found | forecasts_of([r for r in rows if r.repeated], Forecaster(None, workers))


def forecasts_of(rows: Sequence[Row], forecaster: Forecaster) -> Asked:
    """Return the forecasts of all cells, each on its card."""
    cards: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.cell:
            cards.setdefault(row.card, {}).setdefault(row.cell.key, row)
    found: Asked = {}
    for name, asked in cards.items():
        cells = [row.cell for row in asked.values() if row.cell]
        stages = iter(forecast_cells(forecaster, cells, [find_card(name)]))
        for cell in cells:
            found[name, cell.key] = [next(stages) for _ in stages_of(cell)]
    return found


def pairs_of(rows: Sequence[Row], found: Asked) -> tuple[list[Pair], list[Row]]:
    """Return rows with their forecasts, and those without one, each with the reason."""
    pairs: list[Pair] = []
    without: list[Row] = []
    for row in rows:
        if row.cell is None:
            without.append(row)
            continue
        stages = found[row.card, row.cell.key]
        entry = next(each for each in stages if row.stage in ("", each.stage))
        if entry.error:
            why = entry.error.removeprefix("ValueError: ").partition(";")[0]
            without.append(replace(row, cell=None, why=why))
        else:
            pairs.append(Pair(row, bytes_of(entry, row.figure, find_card(row.card)), entry.choices))
    return pairs, without


def tried(rows: Sequence[Row], workers: int | None) -> list[Tried]:
    """Return rows as other losses and loops would have them; no cache knows these."""
    found = []
    for trial in TRIALS:
        for row in rows_of(trial, rows):
            assert row.cell
            with patched(trial, row.cell):
                cells = [trial.cell(row.cell)]
                (entry,) = forecast_cells(Forecaster(None, workers), cells, [find_card(row.card)])
            value = bytes_of(entry, row.figure, find_card(row.card))
            found.append(Tried(trial.said, Pair(row, value, entry.choices)))
    return found


def bytes_of(entry: Forecast, figure: str, card: Card) -> int:
    """Return a figure of a forecast: the device's is of training alone, with the CUDA context."""
    read = "peak_reserved" if figure == "device" else figure
    value = getattr(entry, read)
    assert isinstance(value, int), (entry.cell, figure)
    return value + (card.context if figure == "device" else 0)


def main() -> None:
    """Forecast every row and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("reports/measured"))
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    rows = [*public_rows(), *peft_rows(), *safe_rows(), *own_rows()]
    pairs, without = pairs_of(rows, all_of(rows, options.workers))
    options.out.mkdir(parents=True, exist_ok=True)
    others = tried(rows, options.workers)
    durable.write_text(options.out / "README.md", page(pairs, without, others))
    durable.write_text(options.out / "points.csv", points_csv(pairs, without))
    write(against(pairs), options.out)


if __name__ == "__main__":
    main()
