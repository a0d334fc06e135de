"""What orders the search, and is no figure of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.forecasting.cards import Card
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.largest import worst_of
from harness.suite.cell import Cell


class Estimate(NamedTuple):
    """What a cell is expected to need on a card."""

    allocated: int
    reserved: int
    seconds: float | None = None
    error: str | None = None


def estimates(forecaster: Forecaster, cells: Sequence[Cell], card: Card) -> list[Estimate]:
    """Return an estimate per cell, or why there is none."""
    entries = forecast_cells(forecaster, cells, [card])
    found = []
    for cell in cells:
        own = [entry for entry in entries if entry.cell == cell.path]
        error = next((entry.error for entry in own if entry.error), None)
        if error:
            found.append(Estimate(0, 0, error=error))
            continue
        worst, step = worst_of(own), own[0].step_time
        reserved = (worst.device or 0) - card.context
        found.append(Estimate(0, reserved, step.seconds if step else None))
    return found
