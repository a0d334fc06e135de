"""The largest batch of a cell that fits a card, and the largest that is tight."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.forecasting.cards import Card
from harness.forecasting.cells import forecast_cells, room_of
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.result import AtBatch, Forecast, LargestBatch

if TYPE_CHECKING:
    from harness.suite.cell import Cell

# Where nothing else ends a search; no card holds so many examples of anything.
MAX_BATCH = 2**20
LINE_TRIES = 5  # forecasts that follow the line; two are usual
# Batches that are tried one after the other, before the rest is halved.
WALK = 32


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

    Allocated bytes grow with the batch, so they say which batches cannot fit. What the allocator
    reserves for the others does not: a batch may need less than the one before it. So the search
    goes downwards from there and tries every batch, until one is tight and then one fits.

    Raises:
        UserError: a batch cannot be forecast.
    """
    return _Search(forecaster, cell, card).run()


class _Search:
    """What is known of the batches of one cell on one card."""

    def __init__(self, forecaster: Forecaster, cell: Cell, card: Card) -> None:
        self.forecaster, self.cell, self.card = forecaster, cell, card
        self.known: dict[int, AtBatch] = {}
        self.most, self.by_rows = MAX_BATCH, False
        self.skipped: tuple[int, int] | None = None

    def run(self) -> LargestBatch:
        """Search; every batch is forecast once."""
        tight = self._down_from(self._last(self.card.capacity), {"fits", "tight"})
        roomy = self._last(room_of(self.card), tight) if tight else 0
        fits = self._down_from(roomy, {"fits"})
        return LargestBatch(
            fits=self.known.get(fits),
            tight=self.known.get(tight),
            all_rows=self.by_rows and self.most in {fits, tight},
            skipped=self.skipped,
        )

    def _try(self, batch: int) -> AtBatch:
        """Forecast one batch; the stage that needs the most decides."""
        if batch not in self.known:
            self._forecast([batch])
        return self.known[batch]

    def _forecast(self, batches: Sequence[int]) -> None:
        unknown = [batch for batch in batches if batch not in self.known]
        cells = [with_batch(self.cell, batch) for batch in unknown]
        entries = forecast_cells(self.forecaster, cells, [self.card])
        stages = len(entries) // max(1, len(unknown))
        for number, batch in enumerate(unknown):
            own = entries[number * stages : (number + 1) * stages]
            self.known[batch] = _worst(batch, own)
            rows = max(step[0] for entry in own for step in entry.steps)
            if rows < batch:  # there are no more rows, so larger batches are the same step
                self.most, self.by_rows = rows, True

    def _last(self, limit: int, most: int = MAX_BATCH) -> int:
        """Return the largest batch up to `most` that allocates no more than the limit; 0: none.

        Memory is affine in the batch but for rounding: two forecasts draw a line, and the answer is
        near where it crosses the limit.
        """
        good, bad = 0, most + 1
        guess = min(self.cell.train.batch_size, most)
        for tries in count():
            if self._try(guess).allocated <= limit:
                good = guess
            else:
                bad = guess
            bad = min(bad, self.most + 1)
            if bad - good <= 1:
                return good
            if tries < LINE_TRIES:
                guess = self._crossing(guess, limit)
            else:
                guess = 2 * good if bad > self.most else (good + bad) // 2
            guess = min(max(guess, good + 1), bad - 1)
        raise AssertionError("unreachable")

    def _crossing(self, near: int, limit: int) -> int:
        """Return where the line through this batch and the nearest other one meets the limit."""
        others = [batch for batch in self.known if batch != near]
        if not others:
            return 2 * near
        other = min(others, key=lambda batch: abs(batch - near))
        here = self.known[near].allocated
        slope = (self.known[other].allocated - here) / (other - near)
        return near + int((limit - here) / slope) if slope > 0 else 2 * near

    def _down_from(self, top: int, wanted: set[str]) -> int:
        """Return the largest batch up to `top` whose verdict is wanted; 0: none."""
        top = min(top, self.most)
        end = max(0, top - WALK)
        step = self.forecaster.workers
        for first in range(top, end, -step):
            batches = range(first, max(end, first - step), -1)
            self._forecast(batches)
            for batch in batches:
                if self.known[batch].fits in wanted:
                    return batch
        good, bad = 0, end + 1
        while bad - good > 1:
            middle = (good + bad) // 2
            if self._try(middle).fits in wanted:
                good = middle
            else:
                bad = middle
        if end:
            self.skipped = (good, end)
        return good


def _worst(batch: int, entries: Sequence[Forecast]) -> AtBatch:
    error = next((entry.error for entry in entries if entry.error), None)
    if error:
        raise UserError(f"--max-batch: {entries[0].cell} with batch_size {batch}: {error}")
    worst = worst_of(entries)
    return AtBatch(
        batch=batch,
        fits=worst.fits or "does not fit",
        allocated=max(need.allocated for entry in entries for need in entry.needs.values()),
        device=worst.device or 0,
        margin=worst.margin or 0,
        stage=worst.stage,
        decides=worst.decides or "",
    )


def worst_of(entries: Sequence[Forecast]) -> Forecast:
    """Return, of one cell's stages on one card, the one that decides whether it fits."""
    order = ("fits", "tight", "does not fit")
    return max(entries, key=lambda entry: (order.index(entry.fits or ""), entry.device or 0))


def with_batch(cell: Cell, batch: int) -> Cell:
    """Return the cell with another batch size."""
    train = cell.train.model_copy(update={"batch_size": batch})
    return cell.model_copy(update={"train": train})
