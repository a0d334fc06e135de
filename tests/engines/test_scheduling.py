"""A sweep of 1,000 cells on 64 GPUs, by a simulated clock and the queue that engines use."""

from __future__ import annotations

import pytest
from scheduling import CASES, Sweep, efficiency

LEAST = {"forecast off by a factor of 2": 0.90}


@pytest.mark.parametrize(("name", "settings"), CASES, ids=[name for name, _ in CASES])
def test_a_sweep_comes_near_to_the_ideal(name: str, settings: dict[str, float]) -> None:
    found = efficiency(Sweep(**settings), seed=1)  # type: ignore[arg-type]
    assert LEAST.get(name, 0.95) <= found <= 1.0


def test_the_suite_s_order_does_not() -> None:
    assert efficiency(Sweep(), seed=1, in_order=True) < 0.9
