"""How a cell's memory goes with its batch size, length or rank: from a few logs, all others.

See `harness.simulation.log`: an estimate, and exact to the byte for most; the forecast of a value
tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.forecasting.cards import Card, target_of
from harness.forecasting.cells import room_of
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.many import alike
from harness.forecasting.pool import run_forked
from harness.forecasting.requests import has_own_data, requests_of, shapes_without_data
from harness.forecasting.result import FITS, AtValue, Fit
from harness.forecasting.settings import SETTERS, Solvable
from harness.simulation.log import (
    Log,
    gets_by,
    in_common,
    lagrange,
    replayed,
    stays_within,
    summed,
    weighted,
)

if TYPE_CHECKING:
    from harness.simulation.request import Request
    from harness.suite.cell import Cell


class Law:
    """The logs of a cell on a card, for each of its stages, at all values of one or two settings.

    Args:
        points: of each setting, where logs are from.
        stages: per stage, the logs at the points' product, the last setting's points varying first.
        card: that they are of.
    """

    def __init__(
        self, points: Sequence[Sequence[int]], stages: Sequence[Sequence[Log]], card: Card
    ) -> None:
        self.points, self.stages, self.card = points, stages, card

    def log(self, stage: int, values: Sequence[int]) -> Log:
        """Return the log of a stage with the settings at these values."""
        weights = [lagrange(p, value) for p, value in zip(self.points, values, strict=True)]
        return weighted(self.stages[stage], [prod(each) for each in product(*weights)])

    def along_first(self, *others: int) -> Law:
        """Return the law of the first setting, with the others at these values."""
        points, *_ = self.points
        stages = [[self.log(stage, (point, *others)) for point in points]
                  for stage in range(len(self.stages))]  # fmt: skip
        return Law([points], stages, self.card)

    def _logs(self, values: Sequence[int]) -> Iterator[Log]:
        return (self.log(stage, values) for stage in range(len(self.stages)))

    def allocated(self, *values: int) -> int:
        """Return about what is allocated at most, of all stages."""
        return max(summed(log) for log in self._logs(values))

    def holds(self, limit: int, *values: int) -> bool:
        """Tell whether no more than the limit would be reserved at these values."""
        return all(stays_within(log, limit) for log in self._logs(values))

    def is_tight(self, *values: int) -> bool:
        """Tell whether the card would do, if the allocator gives back what it caches."""
        return all(gets_by(log, self.card.capacity) for log in self._logs(values))

    def largest(self, limit: int, most: int, step: int = 1, *others: int) -> int:
        """Return about the largest value that holds, a multiple of `step`; 0: none does.

        Args:
            limit: bytes that may be reserved.
            most: the largest value to be tried.
            step: between values.
            others: values of the settings behind the first.
        """
        good, bad = 0, 1
        while bad * step <= most and self.holds(limit, bad * step, *others):
            good, bad = bad, 2 * bad
        bad = min(bad, most // step + 1)
        while bad - good > 1:
            middle = (good + bad) // 2
            if self.holds(limit, middle * step, *others):
                good = middle
            else:
                bad = middle
        return good * step

    def at(self, *values: int) -> AtValue:
        """Return what is expected at these values, of the stage that decides."""
        found = [self._judged(log, values[0]) for log in self._logs(values)]
        return max(found, key=lambda each: (FITS.index(each.fits or FITS[-1]), each.reserved or 0))

    def _judged(self, log: Log, value: int) -> AtValue:
        needs, card = replayed(log), self.card
        fits: Fit = "fits" if needs.reserved <= room_of(card) else "tight"
        if needs.reserved > card.capacity and not gets_by(log, card.capacity):
            fits = "does not fit"
        return AtValue(
            value=value, fits=fits, allocated=needs.allocated, reserved=needs.reserved,
            device=needs.reserved + card.context,
            margin=card.usable - needs.reserved - card.context,
        )  # fmt: skip


Axes = Mapping[Solvable, Sequence[int]]


def law_of(forecaster: Forecaster, cell: Cell, card: Card, axes: Axes) -> Law | None:
    """Return the law of one or two settings of a cell, which `axes` sets to a few values each.

    A polynomial of degree n goes through n + 1 values. None: steps at these values differ in more
    than sizes, or in what only data tells.
    """
    return laws_of(forecaster, [(cell, axes)], card)[0]


def laws_of(
    forecaster: Forecaster,
    wanted: Sequence[tuple[Cell, Axes]],
    card: Card,
) -> list[Law | None]:
    """Return the laws of several cells, whose logs are made side by side."""
    from harness.forecasting.twins import whole

    requests, owners = [], []
    stages: dict[int, int] = {}
    for number, (cell, axes) in enumerate(wanted):
        try:
            own = _requests(cell, card, axes)
        except UserError:
            continue
        stages[number] = len(own)
        for stage, several in enumerate(own):
            for request in several:
                requests.append(request)
                owners.append((number, stage))
    if not requests:
        return [None] * len(wanted)
    forecaster.prepare(requests)
    groups = alike(requests, forecaster.workers)
    logs: dict[int, Log | None] = {}
    tasks = [(whole, ([requests[index] for index in group], None)) for group in groups]
    for task, answer in run_forked(tasks, forecaster.workers):
        for place, index in enumerate(groups[task]):
            logs[index] = answer[place].log if isinstance(answer, list) else None
    laws: list[Law | None] = []
    for number, (_, axes) in enumerate(wanted):
        known = []
        for stage in range(stages.get(number, 0)):
            each = [log for index, log in sorted(logs.items()) if owners[index] == (number, stage)]
            common = in_common([log for log in each if log]) if all(each) else None
            if common is not None:
                known.append(common)
        whole_law = known and len(known) == stages[number]
        laws.append(Law(list(axes.values()), known, card) if whole_law else None)
    return laws


def _requests(cell: Cell, card: Card, axes: Axes) -> list[list[Request]]:
    """Return the requests at all points, by stage; none where sizes do not say it all."""
    if has_own_data(cell):
        return []
    by_point = []
    for values in product(*axes.values()):
        varied = cell
        for what, value in zip(axes, values, strict=True):
            varied = SETTERS[what](varied, value)
        by_point.append(requests_of(varied, target_of(card), shapes_without_data(varied)))
    return [list(each) for each in zip(*by_point, strict=True)]
