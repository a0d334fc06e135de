"""The largest value of one setting with which a cell fits a card, and the largest that is tight.

A law (`harness.forecasting.law`) says where to look, forecasts decide: what is answered has been
forecast, and where a forecast is not to the byte what its law said, forecasts do the whole search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UserError
from harness.forecasting.cards import Card
from harness.forecasting.cells import at_value, forecast_cells, room_of
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.law import Law, law_of
from harness.forecasting.result import AtValue
from harness.forecasting.settings import Setting, setting_of

if TYPE_CHECKING:
    from harness.suite.cell import Cell

LINE_TRIES = 5  # values that follow the line; two are usual
# Values that are tried one after the other, before the rest is halved.
WALK = 32
ALL_ROWS = "there are no more rows"


class Solved(NamedTuple):
    """The largest values of one setting, as forecast.

    Attributes:
        what: the setting.
        fits: the largest that fits; None: none does.
        tight: the largest that fits or is tight.
        ends: why there is no larger one to be tried, where one of them is the last.
        skipped: between these not every value was tried.
        forecasts: how many were made for it.
    """

    what: str
    fits: AtValue | None
    tight: AtValue | None
    ends: str = ""
    skipped: tuple[int, int] | None = None
    forecasts: int = 0


def solve(forecaster: Forecaster, cell: Cell, card: Card, what: str) -> Solved:
    """Return the largest value of a setting (`settings.SOLVABLE`) with which the cell fits.

    Allocated bytes grow with the value, so they say which values cannot fit. What the allocator
    reserves for the others does not: a value may need less than the one before it. So the search
    goes downwards from there and tries every value, until one is tight and then one fits.

    Raises:
        UserError: the cell has no such setting, or cannot be forecast at all.
    """
    setting = setting_of(cell, what)
    law = None
    if setting.points:
        law = law_of(forecaster, cell, card, {setting.name: setting.points})
    return Search(forecaster, setting, card, law).run()


class Search:
    """What is known of the values of one setting on one card.

    Values are counted in the setting's steps here.
    """

    def __init__(
        self, forecaster: Forecaster, setting: Setting, card: Card, law: Law | None = None
    ) -> None:
        self.forecaster, self.setting, self.card, self.law = forecaster, setting, card, law
        self.known: dict[int, AtValue] = {}
        self.most, self.ends = setting.most // setting.step, setting.why
        self.skipped: tuple[int, int] | None = None

    def run(self) -> Solved:
        """Search; every value is forecast once.

        Raises:
            UserError: the smallest value cannot be forecast.
        """
        while True:
            fits, tight = self._largest()
            doubtful = {max(1, fits), max(1, tight)} - set(self.known)
            if not doubtful:
                break
            law, self.law = self.law, None
            expected = {v: law.at(v * self.setting.step) for v in doubtful} if law else {}
            self._forecast(sorted(doubtful))
            if not any(_differ(self.known[value], each) for value, each in expected.items()):
                self.law = law
        step = self.setting.step
        return Solved(
            self.setting.name, self.known.get(fits), self.known.get(tight),
            self.ends if self.most in {fits, tight} else "",
            (self.skipped[0] * step, self.skipped[1] * step) if self.skipped else None,
            len(self.known),
        )  # fmt: skip

    def _largest(self) -> tuple[int, int]:
        self.skipped = None
        tight = self._down_from(self._last(self.card.capacity, self.most), {"fits", "tight"})
        roomy = self._last(room_of(self.card), tight) if tight else 0
        return self._down_from(roomy, {"fits"}), tight

    def _allocated(self, value: int) -> int | None:
        if value not in self.known and self.law is not None:
            return self.law.allocated(value * self.setting.step)
        self._have([value])
        return self.known[value].allocated

    def _is(self, value: int, wanted: set[str]) -> bool:
        """Tell whether the verdict on a value is wanted."""
        if value not in self.known and self.law is not None:
            at, card = value * self.setting.step, self.card
            if "tight" not in wanted:
                return self.law.holds(room_of(card), at)
            return self.law.holds(card.capacity, at) or self.law.is_tight(at)
        self._have([value])
        return self.known[value].fits in wanted

    def _have(self, values: Sequence[int]) -> None:
        unknown = [value for value in values if value not in self.known]
        if unknown:
            self._forecast(unknown)

    def _forecast(self, values: Sequence[int]) -> None:
        cells = [self.setting.at(value * self.setting.step) for value in values]
        entries = forecast_cells(self.forecaster, cells, [self.card])
        stages = len(entries) // max(1, len(cells))
        for number, (value, cell) in enumerate(zip(values, cells, strict=True)):
            own = entries[number * stages : (number + 1) * stages]
            at = self.known[value] = at_value(value * self.setting.step, cell, own)
            if at.error and value == 1:
                raise UserError(f"{self.setting.name} {at.value} of {cell.path}: {at.error}")
            if at.error and value - 1 < self.most:
                self.most, self.ends = value - 1, at.error
            # There are no more rows, so larger batches are the same step.
            if self.setting.name == "batch" and at.examples is not None:
                self.most, self.ends = at.examples, ALL_ROWS

    def _last(self, limit: int, most: int) -> int:
        """Return the largest value up to `most` that allocates no more than the limit; 0: none.

        Memory is nearly affine in the value: two of them draw a line, and the answer is near where
        it crosses the limit.
        """
        good, bad = 0, most + 1
        seen = {value: at.allocated for value, at in self.known.items()}
        guess = min(max(1, self.setting.now // self.setting.step), most)
        for tries in count():
            seen[guess] = self._allocated(guess)
            if (seen[guess] or limit + 1) <= limit:
                good = guess
            else:
                bad = guess
            bad = min(bad, self.most + 1)
            if bad - good <= 1:
                return good
            if tries < LINE_TRIES:
                guess = _crossing(seen, guess, limit)
            else:
                guess = 2 * good if bad > self.most else (good + bad) // 2
            guess = min(max(guess, good + 1), bad - 1)
        raise AssertionError("unreachable")

    def _down_from(self, top: int, wanted: set[str]) -> int:
        """Return the largest value up to `top` whose verdict is wanted; 0: none."""
        top = min(top, self.most)
        end = max(0, top - WALK)
        step = 1 if self.law else self.forecaster.workers
        for first in range(top, end, -step):
            values = range(first, max(end, first - step), -1)
            if self.law is None:
                self._have(values)
            for value in values:
                if self._is(value, wanted):
                    return value
        good, bad = 0, end + 1
        while bad - good > 1:
            middle = (good + bad) // 2
            if self._is(middle, wanted):
                good = middle
            else:
                bad = middle
        if end:
            self.skipped = (good, end)
        return good


def _crossing(allocated: Mapping[int, int | None], near: int, limit: int) -> int:
    """Return where the line through this value and the nearest other one meets the limit."""
    seen = {value: size for value, size in allocated.items() if size is not None}
    others = [value for value in seen if value != near]
    if near not in seen:
        return near // 2
    if not others:
        return 2 * near
    other = min(others, key=lambda value: abs(value - near))
    slope = (seen[other] - seen[near]) / (other - near)
    return near + int((limit - seen[near]) / slope) if slope > 0 else 2 * near


def _differ(one: AtValue, other: AtValue) -> bool:
    figures = [(at.fits, at.allocated, at.reserved) for at in (one, other)]
    return figures[0] != figures[1]
