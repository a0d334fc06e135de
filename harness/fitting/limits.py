"""The largest batch and the longest context of what fits, each held by a full forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.fitting.found import Found
from harness.fitting.verdict import surely
from harness.forecasting.cards import Card
from harness.forecasting.cells import forecast_cells, room_of, worst_of
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.result import Forecast
from harness.forecasting.varied import with_batch, with_length
from harness.suite.cell import Cell
from harness.units import MIB

What = Literal["batch", "length"]
MOST_EXAMPLES = 1024  # more are not tried, nor more tokens of a model that was made for any number
MOST_TOKENS = 2**20
BEYOND = 1.01  # a value that the line has over the room by more is not forecast
# Two forecasts as far apart in bytes say what one more adds; what segments of 20 MiB do to nearer
# ones is as much as that.
APART = 256 * MIB
TRIES = 6  # forecasts that follow the line; then what is left between two values is halved
FINE = 128  # the least number of tokens between two lengths; from 2,048 on a 16th of the length


@dataclass(frozen=True)
class Limit:
    """The largest value of one setting that fits, all else as it is.

    Attributes:
        value: examples of a forward pass, or tokens of each in a pass of one; 0: none fits with the
            forecast's error to spare.
        worst: the forecast at it, of the stage that decides; None where there is none.
        all_there_is: the model was made for no more, or more were not tried.
    """

    value: int
    worst: Forecast | None = None
    all_there_is: bool = False


def limits_of(
    forecaster: Forecaster, rows: Sequence[Found], card: Card, positions: int | None
) -> list[tuple[Limit, Limit]]:
    """Return the largest batch and the longest context of every row, searched side by side.

    Args:
        forecaster: that answers.
        rows: what holds.
        card: that it is on.
        positions: tokens that the model was made for; None: nothing is known.
    """
    searches = []
    for row in rows:
        room = min(room_of(card), surely(card, row.error))
        size, lone = row.candidate.examples, _with(row.cell, "batch", 1)
        batches = _Search(row.cell, "batch", size, room, max(MOST_EXAMPLES, size))
        lengths = _Search(lone, "length", row.cell.train.max_length, room, positions or MOST_TOKENS)
        if row.candidate.passes == 1:  # it is the same step
            batches.add(size, row.worst, card)
            if size == 1:
                lengths.add(lengths.start, row.worst, card)
        batches.tokens = lengths
        searches += [batches, lengths]
    while asked := [(search, value) for search in searches for value in search.next()]:
        cells = [
            _with(search.cell, search.what, value).model_copy(update={"axes": {"number": number}})
            for number, (search, value) in enumerate(asked)
        ]
        by_cell: dict[str, list[Forecast]] = {}
        for entry in forecast_cells(forecaster, cells, [card]):
            by_cell.setdefault(entry.cell, []).append(entry)
        for (search, value), cell in zip(asked, cells, strict=True):
            search.add(value, worst_of(by_cell[cell.path]), card)
    found = [search.limit() for search in searches]
    return list(zip(found[::2], found[1::2], strict=True))


def _with(cell: Cell, what: What, value: int) -> Cell:
    if what == "length":
        return with_length(cell, value)
    train = cell.train.model_copy(update={"accumulate": 1})
    return with_batch(cell.model_copy(update={"train": train}), value)


@dataclass
class _Search:
    """What is known of one setting of one cell.

    Attributes:
        cell: that it is a setting of.
        what: the setting.
        start: a value to begin with.
        room: bytes that may be reserved.
        most: the largest value.
        tokens: of a search for the largest batch, that for the longest context, which is ahead of
            it: as many tokens need about as much in one example as in several.
        needs: reserved bytes by value; infinite where there is no forecast.
    """

    cell: Cell
    what: What
    start: int
    room: int
    most: int
    tokens: _Search | None = None
    needs: dict[int, float] = field(default_factory=dict)
    entries: dict[int, Forecast] = field(default_factory=dict)

    def add(self, value: int, worst: Forecast, card: Card) -> None:
        """Note a forecast."""
        self.entries[value] = worst
        device = float("inf") if worst.device is None else worst.device
        self.needs[value] = device - card.context

    def next(self) -> list[int]:
        """Return what to forecast next; nothing: the answer is there."""
        if not self.needs:
            return [min(self.start, self.most)]
        if self.tokens and len(self._points()) == 1 and self.tokens.next():
            return []
        good = max((v for v, need in self.needs.items() if need <= self.room), default=0)
        bad = min((v for v, need in self.needs.items() if need > self.room), default=0)
        after = good + self._grain(good)
        if good >= self.most or (bad and bad <= after):
            return []
        if good and self._expected(after) > BEYOND * self.room:
            return []
        top = bad - self._grain(good) if bad else self.most
        guess = self._crossing()
        if len(self.needs) > TRIES:
            guess = (good + bad) / 2 if bad else 2 * good
        return [min(max(min(self._rounded(guess), top), after), self.most)]

    def limit(self) -> Limit:
        """Return what was found."""
        good = max((v for v, need in self.needs.items() if need <= self.room), default=0)
        return Limit(good, self.entries.get(good), good >= self.most)

    def _points(self) -> dict[float, float]:
        """Return what is known of reserved bytes by value: of one's own, or else by tokens."""
        own = {float(value): need for value, need in self.needs.items()}
        if len(own) > 1 or self.tokens is None:
            return own
        length = self.cell.train.max_length
        return {v / length: need for v, need in self.tokens.needs.items() if v > length} | own

    def _line(self) -> tuple[float, float, float]:
        """Return the point nearest to the room, and what one more adds there.

        Of one value the slope is what it takes over what is at rest, which is not enough.
        """
        points = self._points()
        near = sorted(points, key=lambda v: abs(points[v] - self.room))
        first, need = near[0], points[near[0]]
        if len(near) == 1:
            return first, need, (need - (self.entries[int(first)].at_rest or 0)) / first
        return first, need, (points[near[1]] - need) / (near[1] - first)

    def _crossing(self) -> float:
        """Return where the line meets the room."""
        first, need, slope = self._line()
        return first + (self.room - need) / slope if slope > 0 else 2 * max(self._points())

    def _expected(self, value: int) -> float:
        """Return what the line of two forecasts says of a value, if they are far enough apart."""
        first, need, slope = self._line()
        near = sorted(self.needs.values(), key=lambda need: abs(need - self.room))[:2]
        said = len(near) > 1 and abs(near[0] - near[1]) >= APART
        return need + slope * (value - first) if said else 0.0

    def _grain(self, value: int) -> int:
        if self.what == "batch":
            return 1
        return int(max(FINE, 2 ** (value // 16).bit_length() // 2))

    def _rounded(self, value: float) -> int:
        grain = self._grain(int(value))
        return max(grain, int(value) // grain * grain)
