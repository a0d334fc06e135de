"""The time of a step of any size."""

from __future__ import annotations

import pytest

from harness.timing.by_tokens import at_tokens
from harness.timing.times import StepTime


def step(tokens: int, device: float, host: float = 1.0) -> StepTime:
    seconds = max(host, device)
    parts = {"forward": seconds / 4, "backward": 3 * seconds / 4}
    return StepTime(
        seconds=seconds, host=host, device=device, parts=parts, tokens=tokens, examples=4
    )


KNOWN = [step(300, 3.0), step(100, 1.2), step(200, 2.0), step(200, 2.2)]


@pytest.mark.parametrize(
    ("tokens", "seconds"), [(100, 1.2), (200, 2.1), (150, 1.65), (250, 2.55), (300, 3.0)]
)
def test_between_known_sizes_time_is_on_the_line(tokens: float, seconds: float) -> None:
    found = at_tokens(KNOWN, tokens)
    assert found.seconds == pytest.approx(seconds)
    assert sum(found.parts.values()) == pytest.approx(found.seconds)
    assert found.parts["backward"] == pytest.approx(3 * found.parts["forward"])


def test_outside_it_goes_on_as_they_rise_and_never_below_the_hosts_work() -> None:
    assert at_tokens(KNOWN, 400).seconds == pytest.approx(3.0 + 0.9)
    assert at_tokens(KNOWN, 10).seconds == at_tokens(KNOWN, 10).host == 1.0
    assert at_tokens(KNOWN, 10).device == pytest.approx(1.2 - 0.9 * 0.9)


def test_one_known_size_scales_what_the_device_does_and_not_what_the_host_does() -> None:
    longer = at_tokens([step(100, 0.8)], 200)
    assert (longer.host, longer.device, longer.seconds) == (1.0, 1.6, 2.0)
    assert at_tokens([step(100, 0.8)], 50).seconds == 1.0
