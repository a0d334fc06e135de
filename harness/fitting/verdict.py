"""What a forecast's known error leaves of its verdict."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from harness.forecasting.cards import Card
from harness.forecasting.result import Forecast
from harness.suite.optimizers import BITSANDBYTES, OPTIMIZERS
from harness.suite.settings import TrainSettings

Verdict = Literal["fits", "tight", "uncertain", "does not fit"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class Error(NamedTuple):
    """How far reserved bytes were off on GPUs, as shares of what was measured.

    Attributes:
        under: 19 of 20 forecasts were too low by less.
        over: 19 of 20 were too high by less.
    """

    under: float
    over: float


# Of reports/measured/points.csv, reports/recipes/rows.csv and reports/safe_table1/steps.csv, which
# tests/fitting/test_verdict.py holds them to.
UNQUANTISED = Error(0.011, 0.011)  # 68 runs; the worst were 2.9 % too low and 2.5 % too high
QUANTISED = Error(0.120, 0.017)  # 36 runs: loading leaves blocks in the cache, up to 15.8 %
WHOLE_STATES = Error(0.092, 0.002)  # 5 full fine-tunings with states in 8 bits or paged


def known_error(method: str, train: TrainSettings) -> Error:
    """Return how far reserved bytes may be off."""
    if method == "full" and OPTIMIZERS[train.optimizer].package == BITSANDBYTES:
        return WHOLE_STATES
    return QUANTISED if train.dtypes.quantised else UNQUANTISED


def verdict_of(entry: Forecast, card: Card, error: Error) -> Verdict:
    """Return the forecast's verdict, or `uncertain` where its known error could turn it.

    Args:
        entry: a forecast with a verdict.
        card: that it is for.
        error: of reserved bytes.
    """
    assert entry.device is not None
    assert entry.fits is not None
    reserved = entry.device - card.context
    low, high = reserved / (1 + error.over), reserved / (1 - error.under)
    return "uncertain" if low <= card.capacity < high else entry.fits


def surely(card: Card, error: Error) -> int:
    """Return up to how many reserved bytes the error leaves a fit."""
    return int(card.capacity * (1 - error.under))
