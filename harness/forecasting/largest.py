"""The largest batch of a cell that fits a card, and the largest that is tight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.forecasting.cards import Card
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.result import AtBatch, AtValue, Forecast, LargestBatch
from harness.forecasting.solving import ALL_ROWS, solve

if TYPE_CHECKING:
    from harness.suite.cell import Cell


def add_max_batch(
    forecaster: Forecaster,
    cells: Sequence[Cell],
    cards: Sequence[Card],
    forecasts: Sequence[Forecast],
) -> list[Forecast]:
    """Return the forecasts with `max_batch`, the same for every stage: the worst one decides."""
    largest = {
        (cell.path, card.name): max_batch(forecaster, cell, card)
        for cell in cells
        for card in cards
        if not any(f.error for f in forecasts if f.cell == cell.path)
    }
    return [f.model_copy(update={"max_batch": largest.get((f.cell, f.gpu))}) for f in forecasts]


def max_batch(forecaster: Forecaster, cell: Cell, card: Card) -> LargestBatch:
    """Return the largest batch size that fits, and the largest that fits or is tight.

    Raises:
        UserError: a batch cannot be forecast.
    """
    try:
        found = solve(forecaster, cell, card, "batch")
    except UserError as error:
        raise UserError(f"--max-batch: {error}") from None
    return LargestBatch(
        fits=_at_batch(found.fits),
        tight=_at_batch(found.tight),
        all_rows=found.ends == ALL_ROWS,
        skipped=found.skipped,
    )


def _at_batch(at: AtValue | None) -> AtBatch | None:
    if at is None:
        return None
    return AtBatch(
        batch=at.value, fits=at.fits or "does not fit", allocated=at.allocated or 0,
        device=at.device or 0, margin=at.margin or 0, stage=at.stage or "",
        decides=at.decides or "",
    )  # fmt: skip
