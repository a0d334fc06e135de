"""The searches for the largest batch and the longest context, on needs that a formula says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.fitting.asking import Typed, wanted_of
from harness.fitting.candidates import candidates_of, cells_of
from harness.fitting.limits import _Search
from harness.forecasting.cards import CARDS
from harness.forecasting.result import Forecast
from harness.units import MIB

CARD = replace(CARDS["rtx4090"], context=0)
ROOM, REST, ONCE, PER_TOKEN = 19_500 * MIB, 13_000 * MIB, 900 * MIB, MIB // 2


def test_the_batch_follows_what_the_context_has_shown() -> None:
    wanted = wanted_of(Typed("tiny-llama", "rtx4090", 8, length=2048))
    [cell] = cells_of(wanted, candidates_of(wanted.kinds[0], wanted)[:1])
    lengths = _Search(cell, "length", 2048, ROOM, 4096)
    batches = _Search(cell, "batch", 1, ROOM, 1024, tokens=lengths)
    for search, value in ((lengths, 2048), (batches, 1)):
        search.add(value, _needs(2048), CARD)
    asked = []
    while now := [(search, value) for search in (batches, lengths) for value in search.next()]:
        for search, value in now:
            asked.append((search.what, value))
            tokens = value * (2048 if search is batches else 1)
            search.add(value, _needs(tokens), CARD)
    largest = (ROOM - REST - ONCE) // PER_TOKEN
    assert batches.limit().value == largest // 2048 == 5
    assert lengths.limit().value == 4096
    assert asked == [("length", 4096), ("batch", 5)]


@pytest.mark.parametrize("room", range(300, 700, 37))
def test_the_largest_is_found_between_steps_of_segments(room: int) -> None:
    wanted = wanted_of(Typed("tiny-llama", "rtx4090", 8, length=64))
    [cell] = cells_of(wanted, candidates_of(wanted.kinds[0], wanted)[:1])
    search = _Search(cell, "batch", 1, room * MIB, 1024)

    def segments(batch: int) -> int:
        return (240 + 20 * (batch * 3 // 20)) * MIB  # 3 MiB an example, in segments of 20

    while asked := search.next():
        for value in asked:
            need = segments(value)
            search.add(value, _needs(0).model_copy(update={"device": need, "at_rest": 9}), CARD)
    found = search.limit().value
    assert segments(found) <= room * MIB < segments(found + 1)
    assert len(search.needs) <= 16, "halved, not walked"


def _needs(tokens: int) -> Forecast:
    """What is at rest, what a step takes once, and what every token adds."""
    return Forecast(
        cell="", method="lora", model="", task="", gpu="rtx4090", stage="training", steps=[],
        device=REST + ONCE + PER_TOKEN * tokens, at_rest=REST,
    )  # fmt: skip
