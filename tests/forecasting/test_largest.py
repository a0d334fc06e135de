"""The largest batch that fits a card."""

from __future__ import annotations

from pathlib import Path

from bare import cells

from harness.forecasting.cards import CARDS, Card
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.largest import add_max_batch, max_batch, with_batch


def test_largest_batch_fits_and_the_next_does_not(tmp_path: Path) -> None:
    cell = cells(tmp_path, "methods=[lora]")[0]
    card = Card("small", 400 * 2**20, (8, 6), 40 * 2**20)
    forecaster = Forecaster(tmp_path / "cache", 2)
    best = max_batch(forecaster, cell, card)
    assert best > 8
    fits = [
        forecast_cells(forecaster, [with_batch(cell, size)], [card])[0].fits
        for size in (best, best + 1)
    ]
    assert fits[0] in {"fits", "tight"}
    assert fits[1] == "does not fit"


def test_no_batch_fits_a_card_smaller_than_the_model(tmp_path: Path) -> None:
    cell = cells(tmp_path, "methods=[full]")[0]
    card = Card("tiny", 24 * 2**20, (8, 6), 4 * 2**20)
    assert max_batch(Forecaster(None, 2), cell, card) == 0


def test_it_stands_in_every_entry_of_the_cell(tmp_path: Path) -> None:
    chosen = cells(tmp_path, "methods=[{adapterdrop: {over: lora}}]", "seeds=[0]")
    card = Card("small", 300 * 2**20, (8, 6), 40 * 2**20)
    forecaster = Forecaster(tmp_path / "cache", 2)
    entries = forecast_cells(forecaster, chosen, [card])
    filled = add_max_batch(forecaster, chosen, [card], entries)
    assert len(filled) == 2, "two stages"
    [largest] = {entry.max_batch for entry in filled}
    assert largest == max_batch(forecaster, chosen[0], card)


def test_a_cell_without_a_forecast_has_none(tmp_path: Path) -> None:
    chosen = cells(tmp_path, "methods=[{peft: {type: FROD}}]", "seeds=[0]")
    forecaster = Forecaster(None, 1)
    entries = forecast_cells(forecaster, chosen, [CARDS["l4"]])
    [entry] = add_max_batch(forecaster, chosen, [CARDS["l4"]], entries)
    assert entry.max_batch is None
