"""Seconds of a mean step: over the lengths of the data, per stage, per card."""

from __future__ import annotations

from pathlib import Path

import pytest
from bare import cells

from harness.forecasting.cards import CARDS, clocks_of, find_card
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.forecasting.run_sizes import Sizes, sizes_of
from harness.forecasting.step_time import mean_step
from harness.timing.times import StepTime, Times


def test_a_spread_keeps_number_mean_and_middle() -> None:
    lengths = [(7 * n * n) % 1013 for n in range(1, 2000)]
    spread = sizes_of(lengths)
    assert sum(n for _, n in spread.spread) == spread.count == len(lengths)
    assert len(spread.spread) <= 48
    assert spread.mean == pytest.approx(sum(lengths) / len(lengths))
    assert spread.median == pytest.approx(sorted(lengths)[len(lengths) // 2], abs=25)
    few = sizes_of([3, 9, 3])
    assert few.spread == ((3.0, 2), (9.0, 1))
    assert few.median == 3


def test_the_mean_is_that_of_the_sizes_and_not_the_time_of_the_mean_size() -> None:
    """Short steps wait for the host, so time is no line through all sizes."""
    clock = CARDS["rtx4090"].clock
    assert clock is not None
    timed = [
        StepTime(seconds=max(1.0, tokens / 100), host=1.0, device=tokens / 100, tokens=tokens,
                 examples=2)
        for tokens in (50, 100, 300)
    ]  # fmt: skip
    found = mean_step(Times(steps=timed), clock, Sizes(((50.0, 3), (300.0, 1)), None))
    assert found.seconds == pytest.approx((3 * 1.0 + 3.0) / 4)
    assert found.median == pytest.approx(1.0)
    assert found.tokens_per_second == pytest.approx(112.5 / 1.5)
    assert found.device == pytest.approx((3 * 0.5 + 3.0) / 4)


SHAPE = "tasks=[{shape: {family: causal_lm, batch_size: 2, lengths: [16, 64, 24, 40]}}]"


def test_a_forecast_has_the_mean_step_of_each_stage_on_each_card_with_a_datasheet(
    tmp_path: Path,
) -> None:
    methods = "methods=[{safe: {over: lora, tau: 0.1}}]"
    asked = cells(tmp_path, "model.config=tiny-llama", methods, "seeds=[0]", SHAPE,
                  "train.epochs=9")  # fmt: skip
    gpus = [CARDS["rtx4090"], CARDS["a6000"], find_card("custom:24:8.6")]
    found = forecast_cells(Forecaster(tmp_path / "cache", 1), asked, gpus)
    assert all(entry.step_time is None for entry in found if entry.gpu.startswith("custom"))
    timed = {(entry.gpu, entry.stage): entry.step_time for entry in found if entry.step_time}
    assert {gpu for gpu, _ in timed} == {"rtx4090", "a6000"}
    for gpu in ("rtx4090", "a6000"):
        begin, half = timed[gpu, "warm-up"], timed[gpu, "50 % frozen"]
        assert begin is not None
        assert half is not None
        assert half.device < begin.device, "frozen layers have no backward pass"
        assert begin.tokens == 2 * (16 + 64 + 24 + 40) / 4
    fast, slow = timed["rtx4090", "warm-up"], timed["a6000", "warm-up"]
    assert fast is not None
    assert slow is not None
    assert fast.device < slow.device, "cards of one kind share bytes and not seconds"


def test_a_step_that_was_timed_for_one_card_is_known_for_all_that_take_it(tmp_path: Path) -> None:
    asked = cells(tmp_path, "model.config=tiny-llama", "methods=[lora]", "seeds=[0]", SHAPE)
    [first] = forecast_cells(Forecaster(tmp_path / "cache", 1), asked, [CARDS["rtx4090"]])
    [kept] = (tmp_path / "cache").iterdir()
    written = kept.read_bytes()
    [other] = forecast_cells(Forecaster(tmp_path / "cache", 1), asked, [CARDS["a10"]])
    assert kept.read_bytes() == written, "it is not run again"
    assert first.step_time is not None
    assert other.step_time is not None
    assert other.step_time.device > first.step_time.device
    assert CARDS["a100-80"].clock not in clocks_of(CARDS["a10"]), "its kernels are other ones"
