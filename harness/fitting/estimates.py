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
    """Of one cell on one card.

    Attributes:
        reserved: bytes, by whatever needs the most.
        pace: seconds of a step; where nothing is known of the card's speed, its FLOPs.
    """

    reserved: int
    pace: float


def estimates(forecaster: Forecaster, cells: Sequence[Cell], card: Card) -> list[Estimate | str]:
    """Return an estimate per cell, or why there is none."""
    entries = forecast_cells(forecaster, cells, [card])
    found: list[Estimate | str] = []
    for cell in cells:
        own = [entry for entry in entries if entry.cell == cell.path]
        error = next((entry.error for entry in own if entry.error), None)
        if error:
            found.append(error)
            continue
        worst, times = worst_of(own), own[0].times
        seconds = sum(s.seconds for s in times.steps) / len(times.steps) if times else None
        reserved = (worst.device or 0) - card.context
        found.append(Estimate(reserved, seconds or float(worst.flops_step or 0)))
    return found
