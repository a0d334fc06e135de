"""How far forecast step times may be off."""

from __future__ import annotations

import pytest

from harness.forecasting.cards import find_card
from harness.timing.bar import at_least_text, bar_of, ratio_bar, rule, rule_of
from harness.timing.clock import Clock, Machine


def clock(**machine: object) -> Clock:
    card = find_card("rtx4090").clock
    assert card is not None
    return card.model_copy(update={"machine": Machine.model_validate(machine)})


@pytest.mark.parametrize(
    ("host", "device", "calibrated", "binds", "bars"),
    [
        (0.079, 0.1, (), "device", (0.05, 0.10)),
        (0.081, 0.1, (), "device", (0.25, 0.25)),
        (0.081, 0.1, ("host",), "device", (0.10, 0.10)),
        (0.2, 0.1, (), "host", (0.25, 0.25)),
        (0.2, 0.1, ("products", "bandwidth"), "host", (0.25, 0.25)),
        (0.2, 0.1, ("host",), "host", (0.10, 0.10)),
    ],
)
def test_the_bar_is_wider_where_the_host_decides_and_was_not_calibrated(
    host: float,
    device: float,
    calibrated: tuple[str, ...],
    binds: str,
    bars: tuple[float, float],
) -> None:
    bar = bar_of(host, device, clock(calibrated=calibrated))
    assert (bar.binds, (bar.ratio, bar.absolute)) == (binds, bars)
    assert bar.near == (host >= 0.8 * device)


def test_a_ratio_is_as_uncertain_as_the_worse_of_its_two_steps() -> None:
    device, host = bar_of(0.01, 0.1, clock()), bar_of(0.2, 0.1, clock())
    assert ratio_bar(device, host) == ratio_bar(host, device) == 0.25


def test_operators_of_unknown_cost_are_named() -> None:
    assert at_least_text([]) == ""
    assert at_least_text(["aten::a", "x::b"]) == "at least: the cost of aten::a, x::b is not known"
    assert at_least_text(list("abcde")).startswith("at least: the cost of a, b, c and 2 more")
    assert "±5 % of a ratio and ±10 % of a time" in rule()


def test_the_rule_of_some_steps_is_about_them() -> None:
    device, host = bar_of(0.01, 0.1, clock()), bar_of(0.2, 0.1, clock())
    assert rule_of([device, device]) == "Error bars: ±5 % of a ratio and ±10 % of a time."
    both = rule_of([host, device])
    assert "±10 % of a time where the device binds; ±25 % of a ratio and of a time where" in both
    assert "(±10 % after headroom calibrate)" in both
