"""SAFE's rules: when the warm-up ends, what freezes, and what a run says that promised more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from methods.safe.rules import Rules

RULES = Rules(
    num_epochs=20, final=10, tau=0.4, quantile=None, tolerance=0.05, patience=1, max_warmup=None,
    max_units=4, in_final=False, prefix=False,
)  # fmt: skip


def rules(**changed: Any) -> Rules:
    return replace(RULES, importance={}, thresholds={}, **changed)


def seen(found: Rules, *epochs: list[float]) -> Rules:
    for epoch, values in enumerate(epochs, start=1):
        found.observe(epoch, dict(enumerate(values)))
    return found


@pytest.mark.parametrize(
    ("changed", "epochs", "ended"),
    [
        ({}, [[0.1, 0.2], [0.104, 0.2]], 2),
        ({}, [[0.1, 0.2], [0.104, 0.3]], None),  # every unit must be calm
        ({}, [[0.0, 0.0], [0.0, 0.0]], 2),
        ({}, [[0.0, 0.0], [0.0, 1e-3]], None),  # from 0 any change is a large one
        ({"patience": 2}, [[0.1], [0.1], [0.1]], 3),
        ({"patience": 2}, [[0.1], [0.1], [0.2], [0.2]], None),  # in a row
        ({"max_warmup": 3}, [[0.1], [0.2], [0.3]], 3),
    ],
)
def test_warm_up_ends_when_every_importance_is_calm(
    changed: dict[str, Any], epochs: list[list[float]], ended: int | None
) -> None:
    assert seen(rules(**changed), *epochs).warm_up_ended == ended


def test_threshold_grows_from_0_to_tau_fast_at_first() -> None:
    found = seen(rules(), [0.1], [0.1])
    assert found.ramp(2) == 0.0
    assert found.ramp(6) == pytest.approx(0.875)
    assert found.ramp(10) == found.ramp(17) == 1.0
    late = seen(rules(max_warmup=11), *[[0.1 * e] for e in range(1, 12)])
    assert (late.ramp(11), late.ramp(12)) == (0.0, 1.0), "no ramp is left: it jumps"


# What a MiniLM had in its first six epochs, of which the last froze 2 of 6 at the quantile 0.51
# of epoch 2 (tau 0.0044): importances are three to twenty times as large by then.
GROWING = [
    [0.00003, 0.0001, 0.0004, 0.0007, 0.0014, 0.0052],
    [0.0002, 0.0007, 0.0028, 0.0058, 0.0118, 0.0294],
    [0.0005, 0.0017, 0.0088, 0.0155, 0.0339, 0.0707],
    [0.0005, 0.0021, 0.0108, 0.0233, 0.0627, 0.1352],
    [0.0008, 0.0037, 0.0257, 0.0577, 0.1640, 0.5205],
    [0.0012, 0.0053, 0.0212, 0.0764, 0.2604, 0.7300],
]


def freeze(found: Rules, epochs: list[list[float]]) -> set[int]:
    """Run the rules as the handle does; returns what is frozen at the end."""
    frozen: set[int] = set()
    for epoch, values in enumerate(epochs, start=1):
        live = [unit for unit in range(len(values)) if unit not in frozen]
        if found.look_after(epoch):
            found.observe(epoch, {unit: values[unit] for unit in live})
            frozen |= set(found.chosen(epoch, live))
    return frozen


@pytest.mark.parametrize(("quantile", "count"), [(0.0, 0), (0.34, 2), (0.51, 3), (0.67, 4), (1, 6)])
def test_a_quantile_is_the_share_that_is_frozen(quantile: float, count: int) -> None:
    found = rules(num_epochs=12, final=6, tau=None, quantile=quantile, max_warmup=2, max_units=6)
    assert freeze(found, GROWING) == set(range(count))
    assert found.shortfall(count) is None
    assert found.promised == count


def test_a_quantile_is_no_more_than_max_frozen() -> None:
    found = rules(num_epochs=12, final=6, tau=None, quantile=0.8, max_warmup=2, max_units=2)
    assert freeze(found, GROWING) == {0, 1}
    assert found.shortfall(2) is None


def test_a_run_that_froze_less_than_it_promised_says_why() -> None:
    endless = rules(num_epochs=12, final=6, tau=None, quantile=0.51, max_units=6)
    assert freeze(endless, GROWING) == set()
    assert endless.shortfall(0) == (
        "SAFE froze none of 6 units, not the 3 that quantile 0.51 promises: the warm-up did not "
        "end by epoch 6, the last one that freezes (in epoch 6 importances still changed by 18 to "
        "59 %, and all must by less than 5 %); set max_warmup, or a shorter t_f"
    )
    low = rules(num_epochs=12, final=6, tau=1e-9, max_warmup=2, max_units=6)
    assert freeze(low, GROWING) == set()
    assert "froze none of 6 units: importances were not below" in str(low.shortfall(0))
    assert low.shortfall(1) is None, "a plain threshold promises no share"
    assert replace(low, tau=0.0).shortfall(0) is None, "0 asks for none"
    late = rules(num_epochs=12, final=6, tau=0.5, max_warmup=6, max_units=6)
    assert freeze(late, GROWING) == set()
    assert "ended with epoch 6, and none behind epoch 6 freezes" in str(late.shortfall(0))
    tied = rules(num_epochs=12, final=6, tau=None, quantile=0.5, max_warmup=2, max_units=2)
    assert freeze(tied, [[0.1, 0.1]] * 6) == set()
    assert "not below the threshold" in str(tied.shortfall(0))


def test_what_freezes_is_strictly_below_the_threshold() -> None:
    found = seen(rules(), *[[0.1, 0.4, 0.39, 0.2]] * 10)
    assert found.chosen(10, [0, 1, 2, 3]) == [0, 2, 3]
    assert seen(rules(), [0.0, 0.1], [0.0, 0.1]).chosen(2, [0, 1]) == [], "tau_t is 0 at t_w"
    assert seen(rules(max_units=2), *[[0.1, 0.3, 0.2, 0.3]] * 10).chosen(10, [0, 1, 2, 3]) == [0, 2]


def test_prefix_takes_as_many_and_spends_no_more() -> None:
    """Three below 0.4: up to three units from below, with up to 3 x 0.4 of importance."""
    found = seen(rules(prefix=True), *[[0.1, 0.7, 0.39, 0.2]] * 10)
    assert found.chosen(10, [0, 1, 2, 3]) == [0, 1, 2]
    found = seen(rules(prefix=True), *[[0.9, 0.7, 0.39, 0.2]] * 10)
    assert found.chosen(10, [0, 1, 2, 3]) == [], "two of them, and the first alone spends 0.9"


def test_last_epochs_freeze_nothing() -> None:
    assert rules().look_after(10)
    assert not rules().look_after(11)
    assert rules(in_final=True).look_after(11)
    assert not rules(in_final=True).look_after(20), "nothing follows the last epoch"
