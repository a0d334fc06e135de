"""What forecasts are of: the card's kind, settings that memory depends on, versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.env import MEMORY_PACKAGES
from harness.forecasting.result import Forecast
from harness.suite.settings import TrainSettings
from methods.wording import spelled


def choices_of(forecasts: Sequence[Forecast]) -> Iterator[tuple[str, str]]:
    """Yield what the forecasts are of; a setting that one does not name is at its default there.

    Where anything was forecast, cells without a forecast chose nothing.
    """
    told = [f.choices for f in forecasts if not f.error] or [
        f.choices for f in forecasts if f.choices
    ]
    names = dict.fromkeys(name for choices in told for name in choices)
    for name in sorted(names, key=MEMORY_PACKAGES.__contains__):
        field = TrainSettings.model_fields.get(name)
        default = spelled(field.default) if field else "none"
        yield name, "/".join(dict.fromkeys(choices.get(name, default) for choices in told))
