"""The time of a whole run: stages by the method's schedule, evaluations, probes, energy."""

from __future__ import annotations

from pathlib import Path

import pytest
from bare import cells

from harness.forecasting.cards import CARDS
from harness.forecasting.run_sizes import RunSizes, Sizes, sizes_of
from harness.forecasting.run_time import RunTime, TimedStage, run_time
from harness.forecasting.step_time import mean_step
from harness.suite.cell import Cell
from harness.timing.times import StepTime, Times
from methods import get_method
from methods.base import Plan

CLOCK = CARDS["rtx4090"].clock
SHAPE = "tasks=[{shape: {family: causal_lm, batch_size: 4, length: 16}}]"


def stage(fraction: float, seconds: float, num_probe: int = 0) -> TimedStage:
    assert CLOCK is not None
    one = StepTime(seconds=seconds, host=seconds / 2, device=seconds, tokens=64, examples=4)
    beside = StepTime(seconds=0.5, host=0.2, device=0.5, tokens=64, examples=4)
    times = Times(steps=[one], evaluation=beside, probe=beside if num_probe else None)
    return TimedStage(
        fraction, mean_step(times, CLOCK, Sizes(((64.0, 1),), None)), times, num_probe
    )


def cell_of(tmp_path: Path, method: str, *more: str) -> Cell:
    return cells(tmp_path, "model.config=tiny-llama", f"methods=[{method}]", SHAPE, *more)[0]


def found(cell: Cell, sizes: RunSizes, *stages: TimedStage) -> RunTime:
    assert CLOCK is not None
    whole = run_time(cell, CLOCK, sizes, stages)
    assert whole is not None
    return whole


def test_a_run_is_its_steps_its_evaluated_batches_and_its_looks_at_the_probe(
    tmp_path: Path,
) -> None:
    evaluated = sizes_of([64, 64, 32, 16])
    sizes = RunSizes(Sizes(((64.0, 100),), 100), evaluated, epochs=2, rows=200)
    whole = found(cell_of(tmp_path, "lora"), sizes, stage(0.0, 1.0, num_probe=10))
    assert whole.training == pytest.approx(100.0)
    assert whole.evaluation == pytest.approx(0.5 + 0.5 + 0.25 + 0.2), "no batch beats its host"
    assert whole.probes == pytest.approx(3 * 3 * 0.5), "before the run and after both epochs"
    assert whole.seconds == pytest.approx(100.0 + 1.45 + 4.5)
    assert whole.energy == pytest.approx(450 * whole.seconds)
    assert whole.error_bar == 0.10
    assert not whole.assumed


def test_the_number_of_steps_is_that_of_the_data_or_max_steps_or_not_known(tmp_path: Path) -> None:
    assert CLOCK is not None
    sizes = RunSizes(Sizes(((64.0, 1),), None), epochs=3)
    cell = cell_of(tmp_path, "lora")
    assert run_time(cell, CLOCK, sizes, [stage(0.0, 1.0)]) is None
    known = RunSizes(Sizes(((64.0, 1),), 7), epochs=3)
    assert found(cell, known, stage(0.0, 1.0)).evaluation is None


def test_stages_last_as_long_as_the_methods_schedule_says(tmp_path: Path) -> None:
    sizes = RunSizes(Sizes(((64.0, 1),), 900), epochs=9)
    masked, compacted = stage(0.0, 1.0), stage(0.5, 0.6)
    end = found(cell_of(tmp_path, "{loraprune: {targets: all-linear}}"), sizes, masked, compacted)
    assert end.training == pytest.approx(900), "what is masked costs as much until the end"
    half = "{loraprune: {targets: all-linear, compact_at: [0.5], cool_down: 0.5}}"
    early = found(cell_of(tmp_path, half), sizes, masked, compacted)
    assert early.training == pytest.approx(450 * 1.0 + 450 * 0.6)
    assert (early.fastest, early.slowest) == (pytest.approx(540), pytest.approx(900))


def test_what_the_data_decide_is_told(tmp_path: Path) -> None:
    sizes = RunSizes(Sizes(((64.0, 1),), 1000), epochs=10)
    safe = cell_of(tmp_path, "{safe: {over: lora, tau: {quantile: 0.5}}}", "train.epochs=10")
    stages = [stage(0.0, 1.0), stage(0.5, 0.5), stage(1.0, 0.2)]
    whole = found(safe, sizes, *stages)
    assert whole.fastest < whole.training < whole.slowest
    # Nothing freezes in epochs 1 and 2, half of the layers from epoch 5 on: 2 x 100, then between.
    assert 200 * 1.0 + 800 * 0.5 < whole.training < 500 * 1.0 + 500 * 0.5
    assert whole.assumed == [
        "safe freezes evenly from epoch 2 on, at last 50 % of the layers, the lowest ones"
    ]


def test_a_run_that_is_cut_short_has_a_schedule_that_is_shorter_by_as_much(tmp_path: Path) -> None:
    aflora = "{aflora: {t_i: {epochs: 1}, t_f: {epochs: 8}}}"
    cell = cell_of(tmp_path, aflora, "train.epochs=10", "train.max_steps=50")
    cut = RunSizes(Sizes(((64.0, 1),), 50), epochs=1, rows=400, steps_per_epoch=100)
    whole = found(cell, cut, stage(0.0, 1.0), stage(1.0, 0.5))
    # Of 50 steps 5 train all, 40 none of the projections, and 5 freeze them: fast at first.
    assert 5 * 1.0 + 40 * 0.5 + 5 * 0.5 < whole.training < 5 * 1.0 + 40 * 0.5 + 5 * 0.75


@pytest.mark.parametrize(
    ("name", "options", "begin", "end"),
    [
        ("lora", {}, 0.0, 0.0),
        ("aflora", {}, 0.0, 1.0),
        ("adapterdrop", {"over": "lora"}, 0.5, 0.5),
        ("sora", {}, 0.0, 0.0),
        ("safe", {"over": "lora", "tau": {"quantile": 0.3}}, 0.0, 0.3),
        ("safe", {"over": "lora", "tau": 0.1, "max_frozen": 0.5}, 0.0, 0.25),
    ],
)
def test_courses_begin_and_end_where_the_methods_do(
    name: str, options: dict[str, object], begin: float, end: float
) -> None:
    plan = Plan(num_steps=1000, steps_per_epoch=100, num_epochs=10)
    course = get_method(name)(**options).course(plan).fractions
    assert (course[0], course[-1]) == (pytest.approx(begin), pytest.approx(end))
    assert list(course) == sorted(course), "a frozen tensor never thaws"
