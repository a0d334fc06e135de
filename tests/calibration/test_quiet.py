"""A busy machine: its constants are measured again, told, and not used with many threads."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import pytest
from processors import calibration, processor
from typer import Typer
from typer.testing import CliRunner

from harness.calibration import measure, quiet
from harness.calibration.quiet import TRIES, crowded, settled
from harness.calibration.stopwatch import Repeated
from harness.command import command, new_app
from harness.forecasting import calibrated
from harness.forecasting.cards import find_card
from harness.main import app
from harness.timing.plausible import slowed
from harness.timing.processor import Curve, Processor

SLICE = 0.024  # seconds of the scheduler's, which a kernel waits for a thread that does not run


def curves(seconds: float, more: float = 0.0) -> tuple[Curve, ...]:
    points = ((1e3, seconds), (1e6, 1e-3 + more))
    return tuple(Curve(op=name, points=points) for name in ("aten::add", "aten::mm"))


def of(threads: int, found: tuple[Curve, ...]) -> Processor:
    return processor(threads).model_copy(update={"curves": found})


class Kernels:
    """Kernels whose figures are these, one after another."""

    def __init__(self, *figures: tuple[float, float]) -> None:
        self.figures, self.times = figures, 0

    def measure(self) -> None:
        self.times += 1

    def spread(self) -> float:
        return self.figures[self.times - 1][1]

    def curves(self) -> tuple[Curve, ...]:
        return curves(self.figures[self.times - 1][0])


def test_a_copy_of_constants_has_its_own_curves() -> None:
    one = processor()
    before = one.rate("aten::mm")
    two = one.model_copy(update={"threads": 2, "curves": curves(1e-6, more=1.0)})
    assert two.rate("aten::mm") == two.model_validate(two.model_dump()).rate("aten::mm") != before
    assert one.rate("aten::mm") == before


@pytest.mark.parametrize(
    ("many", "says"),
    [
        (curves(8e-6), ""),
        (curves(25e-6), ""),  # threads have to be woken
        (curves(SLICE), "2 of 4 kernels take more than 3 times as long with 2 threads as with 1"),
        (curves(9e-6, more=1e-3), "2.0 times as long with 2 threads as with 1"),
    ],
)
def test_threads_do_not_make_kernels_much_slower(many: tuple[Curve, ...], says: str) -> None:
    found = slowed(of(2, many), of(1, curves(9e-6)))
    assert (says in found) if says else found == ""


def test_a_measurement_in_doubt_is_repeated_within_a_bound() -> None:
    alone, said = of(1, curves(9e-6)), list[str]()

    def doubt(found: tuple[Curve, ...]) -> str:
        return slowed(of(2, found), alone)

    quiet_later = Kernels((SLICE, 0.0), (9e-6, 0.9), (9e-6, 0.1), (9e-6, 0.0))
    assert settled(quiet_later, said.append, doubt) == (curves(9e-6), "")
    assert quiet_later.times == 3
    assert "aten::add 24,000 µs in place of 9.0" in said[0]
    assert said[1] == "once more: repeats differ by more than 25 %"
    busy = Kernels(*[(SLICE, 0.0)] * (TRIES + 1))
    assert "more than 3 times" in settled(busy, said.append, doubt)[1]
    assert busy.times == TRIES


def test_the_spread_is_that_of_the_two_least_figures() -> None:
    repeated = Repeated({number: int for number in range(10)})
    repeated.found = {number: [3.0, 1.0, 1.1] for number in range(10)}
    assert repeated.spread() == pytest.approx(0.1)
    repeated.found[0] = [1.0, 9.0]  # one call in ten may be disturbed
    assert repeated.spread() == pytest.approx(0.1)
    repeated.found |= {number: [1.0] for number in (0, 1)}  # nothing repeats these
    assert repeated.spread() == math.inf


def test_more_load_than_cores_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiet.os, "cpu_count", lambda: 2)
    for load, says in {1.9: "", 12.04: "load average 12.0 on 2 cores"}.items():
        monkeypatch.setattr(quiet.os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert crowded() == says


@pytest.mark.parametrize(
    ("load", "seconds", "kept"), [("", 9e-6, [1, 2]), ("", SLICE, [1]), ("load 12", 9e-6, [1])]
)
def test_constants_of_many_threads_in_doubt_are_left_out(
    monkeypatch: pytest.MonkeyPatch, load: str, seconds: float, kept: list[int]
) -> None:
    made = iter([Kernels((9e-6, 0.0)), Kernels(*[(seconds, 0.0)] * TRIES)])
    monkeypatch.setattr("harness.calibration.kernels.Kernels", lambda: next(made))
    monkeypatch.setattr(measure, "least_seconds", lambda steps: [{}] * len(steps))
    monkeypatch.setattr(measure, "Running", lambda *_: None)
    monkeypatch.setattr(measure, "default_threads", lambda: 2)
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    monkeypatch.setattr(measure, "fitted", lambda found, *_: of(1, found))
    traces = [None] * len(measure.TWINS)
    found, doubts = measure._processors(traces, None, load, lambda _: None)  # type: ignore[arg-type]
    assert [one.threads for one in found] == kept
    assert set(doubts) == ({1, 2} if load else {2} if len(kept) == 1 else set())


def test_what_is_in_doubt_is_told_wherever_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_CACHE", str(tmp_path))
    one = of(1, curves(9e-6))
    doubts = {1: "load 12", 2: "load 12"}
    calibrated.keep(calibration(processors=[one], doubts=doubts))
    assert find_card("cpu:1").clock is not None
    assert "(load 12): its times may be farther off" in "; ".join(find_card("cpu:1").assumptions)
    assert find_card("cpu:2").clock is None
    assert "(load 12): no step time; repeat" in "; ".join(find_card("cpu:2").assumptions)
    assert "in doubt: load 12" in find_card("l40s").assumptions[0]
    clock = find_card("l40s").clock
    assert clock is not None
    assert clock.machine.host == 9e-6
    assert "host" not in clock.machine.calibrated  # its error bars stay wide
    shown = CliRunner().invoke(app, ["calibrate", "--show"]).output
    assert "cpu, 1 thread: in doubt: load 12" in shown
    assert "cpu, 2 threads: not used: load 12" in shown


def test_an_older_file_of_a_busy_machine_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_CACHE", str(tmp_path))
    calibrated.keep(calibration(processors=[of(1, curves(9e-6)), of(2, curves(SLICE))]))
    assert find_card("cpu:1").clock is not None
    assert find_card("cpu:2").clock is None
    assert "24,000 µs in place of 9.0" in "; ".join(find_card("cpu:2").assumptions)
    shown = CliRunner().invoke(app, ["calibrate", "--show"]).output
    assert "cpu, 2 threads: not used: 2 of 4 kernels" in shown
    assert "cpu, 2 threads: 4.0" not in shown


def test_what_peft_asks_of_transformers_is_not_the_users() -> None:
    made: Typer = new_app()

    @command(made)
    def warn() -> None:
        warnings.warn("`is_gradient_checkpointing` is deprecated and", FutureWarning, stacklevel=1)
        warnings.warn("another", FutureWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        CliRunner().invoke(made, [])
    assert [str(one.message) for one in caught] == ["another"]
