"""Cards to forecast for: what is known of them, and what is said where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from bare import cells

from harness.forecasting.cards import CARDS, find_card, target_of
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.ls import _gpus
from harness.units import GIB

# Nominal sizes in GiB, and the compute capabilities of NVIDIA's table.
NOMINAL = {
    "rtx3060": (12, (8, 6)), "rtx3070": (8, (8, 6)), "rtx3080": (10, (8, 6)),
    "rtx3080ti": (12, (8, 6)), "rtx3090ti": (24, (8, 6)), "rtx4060": (8, (8, 9)),
    "rtx4060ti-16": (16, (8, 9)), "rtx4070": (12, (8, 9)), "rtx4070ti-super": (16, (8, 9)),
    "rtx4080-super": (16, (8, 9)), "rtx5060ti-16": (16, (12, 0)), "rtx5070": (12, (12, 0)),
    "rtx5070ti": (16, (12, 0)), "rtx5080": (16, (12, 0)), "rtx5090": (32, (12, 0)),
    "a4000": (16, (8, 6)), "a5000": (24, (8, 6)), "l4": (24, (8, 9)), "gh200-96": (96, (9, 0)),
    "b200": (180, (10, 0)), "mi250x": (64, (9, 0)), "mi300x": (192, (9, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", NOMINAL)
def test_torch_sees_a_little_less_than_the_nominal_size(name: str) -> None:
    size, capability = NOMINAL[name]
    card = find_card(name)
    assert card.capability == capability
    assert 0.91 * size < card.usable / GIB < size
    assert 0 < card.capacity < card.usable


def test_what_is_assumed_of_a_card_is_told_wherever_it_is_shown(tmp_path: Path) -> None:
    chosen = cells(tmp_path, "methods=[lora]", "seeds=[0]")
    cards = [CARDS[name] for name in ("l4", "rtx5080", "mi300x")]
    found = forecast_cells(Forecaster(None, 1), chosen, cards)
    told = ["; ".join(entry.assumptions) for entry in found]
    assert "l4" not in told[0]
    assert "rtx5080: its memory is that of cards of its size" in told[1]
    assert "mi300x: an AMD card's kernels" in told[2]
    listed = dict(_gpus(tmp_path))
    assert "(assumed)" in listed["rtx5080"]
    assert "(assumed)" not in listed["l4"]
    assert "Hopper" in listed["mi300x"]


def test_every_card_has_a_target_of_its_own_or_one_that_is_alike() -> None:
    targets = {name: target_of(card).capability for name, card in CARDS.items()}
    assert targets["rtx4090"] == targets["rtx3090"] == (8, 6)
    assert targets["rtx5090"] == (12, 0)
    assert targets["b200"] == (10, 0)
