"""What the tests of forecasts share."""

from __future__ import annotations

import pytest

from harness.simulation.answers import ROWS


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a method that reads a value of which no table knows the answer."""
    monkeypatch.delitem(ROWS, ("peft/tuners/waveft/layer.py", "get_delta_weight"))
    return "{peft: {type: WAVEFT, n_frequency: 16}, label: asks}"
