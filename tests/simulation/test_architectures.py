"""Every model type of transformers at tiny size: its forecast for the CPU is its step there."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from architectures import WIDE, pairs, request
from real import real_run
from tiny_models import NOT_HERE, tiny_config

from harness.simulation.fake import fake_run
from harness.simulation.target import CPU

CLOSE = 8192  # bytes
LENGTH = 16
PAIRS = [(kind, name) for kind, name in pairs(every=True) if name not in NOT_HERE]
TYPES = sorted({name for _, name in PAIRS})
METHODS = ("full", "lora")


def kind_of(model_type: str) -> str:
    """Return a kind of task that the type has a head for; of several, whichever its name picks."""
    kinds = [kind for kind, name in PAIRS if name == model_type]
    return kinds[zlib.crc32(model_type.encode()) % len(kinds)]


def in_turn(model_type: str) -> list[str]:
    """Return both methods for what is in wide use, one of them, in turn, for all others."""
    wide = any(model_type in names.split() for names in WIDE.values())
    return list(METHODS) if wide else [METHODS[TYPES.index(model_type) % 2]]


@pytest.mark.parametrize(
    ("model_type", "method"), [(name, method) for name in TYPES for method in in_turn(name)]
)
def test_forecast_of_a_cpu_step_is_the_step(tmp_path: Path, model_type: str, method: str) -> None:
    kind = kind_of(model_type)
    tiny_config(model_type).save_pretrained(tmp_path)
    asked = request(tmp_path, kind, model_type, method, CPU, LENGTH)
    real = real_run(asked)
    forecast = fake_run(asked).report
    assert abs(forecast.peak - real.peak) <= CLOSE
    assert abs(forecast.at_rest - real.at_rest) <= CLOSE
    assert abs(forecast.saved - real.saved) <= CLOSE
