"""The CPU as a device: calls and kernels one after another."""

from __future__ import annotations

import pytest
from processors import US, processor, row, trace

from harness.timing.clock import Clock, Machine
from harness.timing.estimate import times_of
from harness.timing.processor import Curve, measured_as
from harness.timing.rows import Rows


def clock(**changed: float) -> Clock:
    machine = Machine(processor=processor(**changed))
    return Clock(device="cpu", capability=(0, 0), sheet=None, machine=machine)


def test_a_curve_is_lines_between_its_points_and_the_last_line_beyond() -> None:
    curve = Curve(op="aten::add", points=((0.0, 1.0), (10.0, 2.0), (20.0, 4.0)))
    assert [curve.seconds(work) for work in (0, 5, 10, 15, 30)] == [1.0, 1.5, 2.0, 3.0, 6.0]


def test_a_step_is_the_sum_of_its_calls_and_its_kernels() -> None:
    step = times_of(trace(10, 20, 30, modules=4, moved=1000), clock()).steps[0]
    calls = (100 + 10 * 4 + 4 * 5) + 20 * 3 + (50 + 30 * 2)
    assert step.host == pytest.approx(calls * US)
    assert step.device == pytest.approx(60 * 1 * US)  # 1,000 bytes at 1 GB/s
    assert step.seconds == pytest.approx(step.host + step.device)
    assert step.parts["backward"] == pytest.approx(20 * (3 + 1) * US)
    assert sum(step.parts.values()) == pytest.approx(step.seconds)


def test_every_pass_of_an_accumulated_step_has_its_own_share() -> None:
    one, several = trace(10, 20, 30, modules=0), trace(10, 20, 0, modules=0)
    rows = several.rows["step 1"]
    several.rows["step 1"] = Rows([*rows, *rows, *rows, *one.rows["step 1"][30:]])
    several.passes["step 1"] = [0, 30, 60]
    single = times_of(one, clock()).steps[0].parts
    found = times_of(several, clock(), accumulate=8).steps[0].parts
    assert found["forward"] == pytest.approx(8 * single["forward"])
    assert found["backward"] == pytest.approx(8 * single["backward"])
    assert found["optimizer"] == pytest.approx(single["optimizer"])


def test_what_was_measured_is_no_operator_of_unknown_cost() -> None:
    one = trace(9, 9, 9, 0)
    one.unknown = {"aten::add", "aten::_fft_r2c"}
    assert times_of(one, clock()).at_least == ["aten::_fft_r2c"]


def test_kernels_in_a_step_take_longer_than_alone() -> None:
    alone, crowded = (times_of(trace(9, 9, 9, 0, 1000), clock(crowding=c)).steps[0] for c in (1, 2))
    assert crowded.device == pytest.approx(2 * alone.device)
    assert crowded.host == pytest.approx(alone.host)


@pytest.mark.parametrize(
    ("m", "k", "n", "name"),
    [(8, 128, 64, "aten::mm m"), (64, 8, 128, "aten::mm k"), (128, 64, 8, "aten::mm n"),
     (64, 64, 64, "aten::mm")],
)  # fmt: skip
def test_a_product_is_read_from_the_curve_of_its_short_side(
    m: int, k: int, n: int, name: str
) -> None:
    product = row("addmm", "forward", 1, 2 * m * k * n)._replace(
        reads=((0, 4 * n), (1, 4 * m * k), (2, 4 * k * n)), writes=((3, 4 * m * n),)
    )
    assert measured_as(product) == (name, 2.0 * m * k * n)
