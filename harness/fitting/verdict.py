"""What a forecast's known error leaves of its verdict."""

from __future__ import annotations

from typing import Literal, get_args

from harness.forecasting.cards import Card
from harness.forecasting.result import Forecast
from harness.suite.settings import TrainSettings

Verdict = Literal["fits", "tight", "uncertain", "does not fit"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

# Reserved bytes, forecast against measured (reports/measured/points.csv, reports/recipes/rows.csv):
# 19 of 20 are within this share. Held to those files by tests/fitting/test_verdict.py.
ERROR_16 = 0.025  # bases in 16 or 32 bits: the largest was 2.9 %
ERROR_QUANTISED = 0.075  # loading leaves blocks in the cache that no forecast has: up to 15.8 %
ERROR_PAGED = 0.095  # states of a whole model in 8 bits or paged: 5 runs, 9.2 % at most


def known_error(method: str, train: TrainSettings) -> float:
    """Return the share by which reserved bytes may be off."""
    own = train.optimizer.removeprefix("adamw")
    if method == "full" and ("8bit" in own or "paged" in own):
        return ERROR_PAGED
    return ERROR_QUANTISED if train.dtypes.quantised else ERROR_16


def verdict_of(entry: Forecast, card: Card, error: float) -> Verdict:
    """Return the forecast's verdict, or `uncertain` where its known error could turn it.

    Args:
        entry: a forecast with a verdict.
        card: that it is for.
        error: of reserved bytes, as a share.
    """
    assert entry.device is not None
    assert entry.fits is not None
    reserved = entry.device - card.context
    if abs(card.capacity - reserved) <= error * reserved:
        return "uncertain"
    return entry.fits
