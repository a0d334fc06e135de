"""The makers' figures against each other: a mistyped or a sparse one breaks a card's arithmetic."""

from __future__ import annotations

import pytest

from harness.errors import UserError
from harness.forecasting.cards import CARDS, find_card
from harness.timing.datasheet import DATASHEETS

# Bits of the memory's bus, and Gbit/s of a pin.
BUS = {
    "rtx3060": (192, 15), "rtx3070": (256, 14), "rtx3080": (320, 19), "rtx3080ti": (384, 19),
    "rtx3090": (384, 19.5), "rtx3090ti": (384, 21), "rtx4060": (128, 17),
    "rtx4060ti-16": (128, 18), "rtx4070": (192, 21), "rtx4070ti-super": (256, 21),
    "rtx4080": (256, 22.4), "rtx4080-super": (256, 23), "rtx4090": (384, 21),
    "rtx5060ti-16": (128, 28), "rtx5070": (192, 28), "rtx5070ti": (256, 28),
    "rtx5080": (256, 30), "rtx5090": (512, 28), "a4000": (256, 14), "a5000": (384, 16),
    "a6000": (384, 16), "l4": (192, 12.5), "l40s": (384, 18), "a10": (384, 12.5), "t4": (256, 10),
    "v100-16": (4096, 1.76), "v100-32": (4096, 1.76), "a100-40": (5120, 2.43),
    "a100-80": (5120, 3.186), "h100": (5120, 5.23), "h200": (6144, 6.25), "gh200-96": (6144, 5.2),
    "b200": (8192, 7.8),
}  # fmt: skip
# FLOP a cycle of one multiprocessor: fp32, and 16 bits with sums in fp32.
CYCLE = {
    (7, 0): (128, 1024), (7, 5): (128, 1024), (8, 0): (128, 2048), (8, 6): (256, 1024),
    (8, 9): (256, 1024), (9, 0): (256, 4096), (10, 0): (256, 8192), (12, 0): (256, 1024),
}  # fmt: skip


@pytest.mark.parametrize("name", DATASHEETS)
def test_a_cards_figures_agree_with_one_clock_and_one_bus(name: str) -> None:
    sheet, capability = DATASHEETS[name], CARDS[name].capability
    plain, tensor = CYCLE[capability]
    tensor //= 2 if name.startswith("rtx") else 1  # GeForce
    clocks = [
        sheet.fp32 / plain / sheet.multiprocessors,
        sheet.fp16 / tensor / sheet.multiprocessors,
    ]
    assert min(clocks) > 1.3e9
    assert max(clocks) < 2.7e9
    assert max(clocks) / min(clocks) < 1.09  # data-centre cards print tensor cores' at a lower one
    bits, rate = BUS[name]
    assert sheet.bandwidth == pytest.approx(bits / 8 * rate * 1e9, rel=0.025)
    modern = capability >= (8, 0)
    assert sheet.bf16 == (sheet.fp16 if modern else 0)
    assert sheet.tf32 == pytest.approx(sheet.fp16 / 2 if modern else 0, rel=0.012)
    assert sheet.source


def test_every_card_has_a_clock_but_those_that_nothing_is_known_of() -> None:
    assert {name for name, card in CARDS.items() if card.clock is None} == {"mi250x", "mi300x"}
    assert find_card("custom:24:8.6").clock is None


def test_a_custom_card_may_have_a_speed() -> None:
    clock = find_card("custom:23.69:8.6:936:6:71.2:35.6").clock
    assert clock is not None
    known = DATASHEETS["rtx3090"].model_dump(exclude={"multiprocessors", "power", "source"})
    assert clock.sheet is not None
    assert clock.sheet.model_dump(include=set(known)) == pytest.approx(known)
    for wrong in ("custom:24:8.6:936", "custom:24:8.6:0:6:71:35", "custom:24:8.6:936:6:nan:35"):
        with pytest.raises(UserError, match="GB/s, MiB of L2"):
            find_card(wrong)
