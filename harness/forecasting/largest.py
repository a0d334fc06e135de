"""The largest batch of a cell that fits a card."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING

from harness.forecasting.cards import Card
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.result import Forecast

if TYPE_CHECKING:
    from harness.suite.suite import Cell

LINE_TRIES = 3  # forecasts that follow the line; two are usual


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


def max_batch(forecaster: Forecaster, cell: Cell, card: Card) -> int:
    """Return the largest batch size that fits or fits tightly; 0 if not even one example does.

    Memory is affine in the batch but for the allocator's rounding, so two forecasts draw a line,
    and the answer is where it crosses the card. That answer and the next larger batch are then
    forecast themselves: the first must fit and the second must not.
    """

    def worst(batch: int) -> tuple[bool, int]:
        """Return whether all stages fit at this batch, and the most that one reserves."""
        entries = forecast_cells(forecaster, [with_batch(cell, batch)], [card])
        fits = all(entry.fits in {"fits", "tight"} for entry in entries)
        return fits, max(entry.peak_reserved or 0 for entry in entries)

    first = cell.train.batch_size
    second = 2 * first
    (_, low), (_, high) = worst(first), worst(second)
    slope = max(1, (high - low) / (second - first))
    guess = max(1, int(first + (card.capacity - low) / slope))
    fitting, failing = 0, 0  # the largest known to fit, the smallest known not to (0: none yet)
    for tries in count():
        fits, reserved = worst(guess)
        if fits:
            fitting = guess
        else:
            failing = guess
        if failing == fitting + 1:
            return fitting
        # Segments make memory a staircase: where the line does not land, halve what is left.
        guess += int((card.capacity - reserved) / slope)
        if tries >= LINE_TRIES and failing:
            guess = (fitting + failing) // 2
        guess = max(guess, fitting + 1)
        if failing:
            guess = min(guess, failing - 1)
    raise AssertionError("unreachable")


def with_batch(cell: Cell, batch: int) -> Cell:
    """Return the cell with another batch size."""
    train = cell.train.model_copy(update={"batch_size": batch})
    return cell.model_copy(update={"train": train})
