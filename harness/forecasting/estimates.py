"""Estimates of many cells at a small part of a forecast's cost: to order a search by.

Whatever is shown of a cell comes from its forecast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.forecasting.cards import Card, target_of
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.pool import TaskFailed, run_forked
from harness.forecasting.requests import requests_of
from harness.part import Part

if TYPE_CHECKING:
    from harness.simulation.request import Request
    from harness.suite.cell import Cell
    from harness.timing.clock import Clock


class Estimate(Part):
    """What a cell is expected to need on a card.

    Attributes:
        allocated, reserved: bytes, the most that any activity of its first stage needs.
        seconds: of the slowest step; None: the card has no datasheet.
        error: why there is none; the figures are 0 then.
    """

    allocated: int = 0
    reserved: int = 0
    seconds: float | None = None
    error: str | None = None


def estimates(forecaster: Forecaster, cells: Sequence[Cell], card: Card) -> list[Estimate]:
    """Return an estimate per cell, in their order; equal steps are run once.

    A cell whose layers are all alike takes two steps of twins with two and three layers, any other
    one a step of its own.
    """
    asked: dict[str, Request] = {}
    keys: list[str | UserError] = []
    for cell, shapes in zip(cells, forecaster.shapes(cells), strict=True):
        try:
            request = requests_of(cell, target_of(card), shapes)[0]
            key = request.key()
        except UserError as error:
            keys.append(error)
        else:
            keys.append(key)
            asked[key] = request
    forecaster.prepare(list(asked.values()))
    tasks = [(estimate, (request, card.clock)) for request in asked.values()]
    found: dict[str, Estimate] = {}
    order = list(asked)
    for done, (number, answer) in enumerate(run_forked(tasks, forecaster.workers), start=1):
        failed = isinstance(answer, UserError | TaskFailed)
        found[order[number]] = Estimate(error=str(answer)) if failed else answer
        forecaster.progress(done, len(tasks))
    return [found[key] if isinstance(key, str) else Estimate(error=str(key)) for key in keys]


def estimate(request: Request, clock: Clock | None) -> Estimate:
    """Return the estimate of one request; run it in a fork.

    Raises:
        UserError, TaskFailed: it cannot be forecast.
    """
    from harness.forecasting.twins import whole
    from harness.simulation.log import replayed

    [traced] = whole([request], clock)
    needs = replayed(traced.log)
    steps = traced.times.steps if traced.times else []
    return Estimate(
        allocated=needs.allocated,
        reserved=needs.reserved,
        seconds=max((step.seconds for step in steps), default=None),
    )
