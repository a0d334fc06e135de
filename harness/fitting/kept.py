"""Estimates that are kept beside the forecasts: the second search of one question has them."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import UserError
from harness.forecasting.cache import Kept
from harness.forecasting.cards import Card, target_of
from harness.forecasting.estimates import Estimate, estimates
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.requests import requests_of
from harness.suite.cell import Cell


def kept_estimates(forecaster: Forecaster, cells: Sequence[Cell], card: Card) -> list[Estimate]:
    """Return an estimate per cell, kept ones as they are; those with an error are not kept."""
    kept = Kept(forecaster.cache.folder, Estimate)
    keys = [_key(cell, card, forecaster) if kept.folder is not None else None for cell in cells]
    found = [kept.read(key) if key else None for key in keys]
    missing = [n for n, each in enumerate(found) if each is None]
    asked = estimates(forecaster, [cells[n] for n in missing], card) if missing else []
    made = dict(zip(missing, asked, strict=True))
    for number, estimate in made.items():
        key = keys[number]
        if key and not estimate.error:
            kept.write(key, estimate)
    return [made[n] if each is None else each for n, each in enumerate(found)]


def _key(cell: Cell, card: Card, forecaster: Forecaster) -> str | None:
    [shapes] = forecaster.shapes([cell])
    try:
        request = requests_of(cell, target_of(card), shapes)[0]
    except UserError:
        return None
    return f"{request.key()}-{card.clock.key() if card.clock else 'no-time'}-estimate"
