"""The largest batch that fits a card, and the largest that is tight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from bare import cells
from cells import cell_of

from harness.errors import UserError
from harness.forecasting import solving
from harness.forecasting.cards import CARDS, Card
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.largest import add_max_batch, max_batch
from harness.forecasting.result import Fit, Forecast, LargestBatch
from harness.forecasting.settings import MAX_BATCH
from harness.forecasting.varied import with_batch
from harness.simulation.step_forecast import Need
from harness.suite.cell import Cell

ROOM = Card("room", 1000, (8, 6), 0)
Verdict = Callable[[int], Fit]


def found(largest: LargestBatch) -> tuple[int, int]:
    return tuple(at.batch if at else 0 for at in (largest.fits, largest.tight))  # type: ignore[return-value]


def search(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verdict: Verdict,
    allocated: Callable[[int], int],
    rows: int = MAX_BATCH,
) -> tuple[LargestBatch, list[int]]:
    """Search with a made-up card; returns the answer and what was forecast."""
    asked: list[int] = []

    def made_up(forecaster: Any, chosen: Sequence[Cell], cards: Any) -> list[Forecast]:
        sizes = [cell.train.batch_size for cell in chosen]
        asked.extend(sizes)
        return [
            Forecast(
                cell="c", method="m", model="m", task="t", gpu="room", stage="training",
                steps=[(min(size, rows), 8)], fits=verdict(min(size, rows)), device=size,
                margin=1000 - size, decides="training",
                needs={"training": Need(allocated=allocated(min(size, rows)), reserved=0,
                                        expandable=0)},
            )
            for size in sizes
        ]  # fmt: skip

    monkeypatch.setattr(solving, "forecast_cells", made_up)
    monkeypatch.setattr(solving, "law_of", lambda *_: None)
    answer = max_batch(Forecaster(None, 2), cells(tmp_path)[0], ROOM)
    assert len(asked) == len(set(asked)), "nothing is forecast twice"
    return answer, asked


def test_a_batch_may_need_less_than_the_one_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As LoRA on query and value did: 7 does not fit, and 8 is tight."""
    verdicts: dict[int, Fit] = {5: "tight", 6: "fits", 7: "does not fit", 8: "tight"}

    def verdict(batch: int) -> Fit:
        return "fits" if batch < 5 else verdicts.get(batch, "does not fit")

    answer, _ = search(tmp_path, monkeypatch, verdict, lambda batch: 100 + 90 * batch)
    assert found(answer) == (6, 8)
    assert answer.skipped is None


def test_every_search_ends_at_the_rows_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, asked = search(tmp_path, monkeypatch, lambda _: "fits", lambda b: 100 + b, rows=70)
    assert found(answer) == (70, 70)
    assert answer.all_rows
    assert max(asked) < 1000


def test_every_search_ends_without_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, asked = search(tmp_path, monkeypatch, lambda _: "fits", lambda _: 100)
    assert found(answer) == (MAX_BATCH, MAX_BATCH)
    assert len(asked) < 60


def test_a_wide_gap_is_halved_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, asked = search(
        tmp_path, monkeypatch, lambda b: "fits" if b <= 300 else "does not fit", lambda b: b
    )
    assert found(answer) == (300, 300)
    assert answer.skipped is not None
    assert len(asked) < 100


def test_the_answers_are_forecasts(tmp_path: Path) -> None:
    cell = cells(tmp_path, "methods=[lora]")[0]
    card = Card("small", 400 * 2**20, (8, 6), 40 * 2**20)
    forecaster = Forecaster(tmp_path / "cache", 2)
    largest = max_batch(forecaster, cell, card)
    assert largest.fits is not None
    assert largest.tight is not None
    assert 8 < largest.fits.batch <= largest.tight.batch
    for at in (largest.fits, largest.tight):
        [entry] = forecast_cells(forecaster, [with_batch(cell, at.batch)], [card])
        assert (entry.fits, entry.device, entry.margin) == (at.fits, at.device, at.margin)
    [above] = forecast_cells(forecaster, [with_batch(cell, largest.tight.batch + 1)], [card])
    assert above.fits == "does not fit"


def test_all_rows_of_real_data_are_a_batch(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, "lora")
    largest = max_batch(Forecaster(tmp_path / "cache", 2), cell, CARDS["a6000"])
    assert found(largest) == (64, 64)
    assert largest.all_rows


def test_no_batch_fits_a_card_smaller_than_the_model(tmp_path: Path) -> None:
    cell = cells(tmp_path, "methods=[full]")[0]
    card = Card("tiny", 24 * 2**20, (8, 6), 4 * 2**20)
    assert found(max_batch(Forecaster(None, 2), cell, card)) == (0, 0)


def test_it_stands_in_every_entry_of_the_cell(tmp_path: Path) -> None:
    chosen = cells(tmp_path, "methods=[{adapterdrop: {over: lora}}]", "seeds=[0]")
    card = Card("small", 300 * 2**20, (8, 6), 40 * 2**20)
    forecaster = Forecaster(tmp_path / "cache", 2)
    entries = forecast_cells(forecaster, chosen, [card])
    filled = add_max_batch(forecaster, chosen, [card], entries)
    assert len(filled) == 2, "two stages"
    first, second = (entry.max_batch for entry in filled)
    assert first == second == max_batch(forecaster, chosen[0], card)


def test_a_cell_without_a_forecast_has_none(tmp_path: Path, unknown: str) -> None:
    chosen = cells(tmp_path, f"methods=[{unknown}]", "seeds=[0]")
    forecaster = Forecaster(None, 1)
    entries = forecast_cells(forecaster, chosen, [CARDS["l4"]])
    [entry] = add_max_batch(forecaster, chosen, [CARDS["l4"]], entries)
    assert entry.max_batch is None
    with pytest.raises(UserError, match="--max-batch: batch"):
        max_batch(forecaster, chosen[0], CARDS["l4"])
