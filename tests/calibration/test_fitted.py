"""Constants out of measurements: those that made the measurements come back."""

from __future__ import annotations

import pytest
import torch
from asked import forked
from processors import US, processor, trace

from harness.calibration.card import ANY, fitted_host, reached
from harness.calibration.kernels import Kernels, _row
from harness.calibration.processor import Measured, call_seconds, fitted
from harness.calibration.stopwatch import Repeated
from harness.calibration.twins import TWINS, Running, least_seconds, request_of, traced
from harness.simulation.target import CPU
from harness.timing.clock import Clock, Machine
from harness.timing.estimate import times_of
from harness.timing.processor import Processor
from harness.timing.trace import Tracer


def taken(found: Processor, one: Tracer) -> Measured:
    machine = Machine(processor=found)
    clock = Clock(device="cpu", capability=(0, 0), sheet=None, machine=machine)
    step = times_of(one, clock).steps[0]
    return Measured(one, {**step.parts, "step": step.seconds})


def test_a_cpus_constants_come_back_from_its_steps() -> None:
    real = processor(crowding=1.7)
    twins = [trace(200, 280, 100, 60), trace(330, 370, 70, 150), trace(550, 800, 1200, 150)]
    large = trace(200, 280, 100, 60, moved=100_000)
    found = fitted(real.curves, [taken(real, one) for one in twins], taken(real, large))
    for name in ("forward", "backward", "optimizer", "module", "per_pass", "crowding"):
        assert getattr(found, name) == pytest.approx(getattr(real, name), rel=0.01)
    assert call_seconds(real, twins[0]) == pytest.approx(
        (100 + 200 * 4 + 60 * 5 + 280 * 3) / 480 * US
    )


def test_the_hosts_constant_comes_back_from_steps_that_it_binds() -> None:
    traces = [trace(200, 280, 100, 60), trace(330, 370, 70, 150)]
    clock = Clock(device="any", capability=(8, 9), sheet=ANY, machine=Machine(host=21e-6))
    steps = [{"step": times_of(one, clock).steps[0].seconds} for one in traces]
    asked = clock.model_copy(update={"machine": Machine()})
    found = fitted_host(asked, traces, steps)
    assert found.seconds == pytest.approx(21e-6, rel=1e-3)
    assert found.measured


def test_what_a_device_reaches_is_a_share_of_its_datasheet() -> None:
    found = reached(ANY, torch.device("cpu"), "a GPU", added=1 << 16, tokens=1)
    for share in (found.bandwidth, found.products, found.products_fp32):
        assert share is not None
        assert 0 < share <= 1


def test_every_kernel_that_is_measured_is_one_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.calibration.kernels.ENTRIES", (1 << 6, 1 << 8))
    monkeypatch.setattr("harness.calibration.kernels.SIDES", (32, 40))
    monkeypatch.setattr("harness.calibration.kernels.LONG", (32, 40))
    monkeypatch.setattr("harness.calibration.kernels.LENGTHS", (4, 8))
    kernels = Kernels()
    kernels.timed.found = {key: [2e-6, 1e-6] for key in kernels.timed.found}
    found = {curve.op: curve for curve in kernels.curves()}
    assert {"aten::add", "aten::mm", "aten::mm k", "aten::bmm", "aten::gelu"} <= set(found)
    assert all(len(curve.points) >= 2 for curve in found.values())
    assert all(
        a < b
        for c in found.values()
        for (a, _), (b, _) in zip(c.points, c.points[1:], strict=False)
    )
    ones = torch.ones(8)
    assert _row(lambda: torch.ops.aten.tanh.default(ones)).writes[0][1] == 32


def test_the_least_of_several_bursts_counts() -> None:
    repeated = Repeated({"nothing": lambda: None, "sum": lambda: sum(range(20_000))})
    repeated.measure(rounds=2)
    found = repeated.least()
    assert 0 < found["nothing"] < found["sum"] < 0.1
    assert [len(seconds) for seconds in repeated.found.values()] == [2, 2]


def test_what_a_twin_dispatches_comes_out_of_its_process() -> None:
    found = forked(traced, request_of(TWINS[0], CPU))
    assert {row.part for row in found.rows["step 1"]} >= {"forward", "backward", "optimizer"}
    assert len(found.modules["step 1"]) > 50
    assert times_of(found, Clock(device="any", capability=(8, 9), sheet=ANY)).steps[0].seconds > 0


def test_a_twins_real_step_has_the_parts_that_are_fitted() -> None:
    (found,) = least_seconds([Running(request_of(TWINS[0], CPU), torch.device("cpu"))], 1, 1)
    assert {"forward", "backward", "optimizer", "step"} <= set(found)
    assert found["step"] >= found["forward"] + found["backward"] + found["optimizer"] > 0
