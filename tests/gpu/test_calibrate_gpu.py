"""`headroom calibrate` on a real GPU, in a process of its own: it forks before CUDA starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness.forecasting import calibrated
from harness.forecasting.named import card_named

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


def test_host_and_device_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_CACHE", str(tmp_path))
    command = [sys.executable, "-m", "harness", "calibrate"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, timeout=300)
    assert done.returncode == 0, done.stderr
    found = calibrated.calibration()
    assert found is not None
    assert found.host.measured
    assert 2e-6 < found.host.seconds < 60e-6
    properties = torch.cuda.get_device_properties(0)
    card = card_named(properties.name, properties.total_memory)
    if card is not None and card.clock is not None:
        device = found.devices[card.name]
        assert 0.5 < device.bandwidth <= 1
        assert 0.3 < device.products_fp32 <= 1
