"""What a run does beside its steps: evaluation and probe, foreseen as they are measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from asked import forked, request
from bare import cells
from cells import cell_of, silent

from harness.cell import run_cell
from harness.forecasting.cards import CARDS, Card
from harness.forecasting.cells import forecast_cells
from harness.forecasting.forecaster import Forecaster
from harness.shapes import BatchShape
from harness.simulation.step_forecast import forecast


@pytest.mark.parametrize("method", ["full", "lora", "meft", "bitfit"])
def test_evaluation_is_forecast_to_the_byte(tmp_path: Path, method: str) -> None:
    cell = cell_of(tmp_path, method, "train.eval_batch_size=24", "train.epochs=1")
    record = run_cell(cell, silent)
    assert record.memory is not None
    assert record.forecast is not None
    stage = next(iter(record.forecast.stages.values()))
    assert abs((stage.peak_evaluation or 0) - (record.memory.peak_evaluation or 1e9)) <= 64
    if method == "meft":
        assert abs((stage.peak_probe or 0) - (record.memory.peak_probe or 1e9)) <= 64


def test_a_probe_with_gradients_is_forecast(tmp_path: Path) -> None:
    """It runs before there is any optimizer state, which the forecast has."""
    method = "{sparseadapter: {over: houlsby, pruner: grasp}}"
    record = run_cell(cell_of(tmp_path, method, "train.eval_batch_size=24"), silent)
    assert record.memory is not None
    assert record.forecast is not None
    measured, split = record.memory.peak_probe or 0, record.memory.phases[0].split
    [stage] = record.forecast.stages.values()
    assert measured > record.memory.peak_training
    assert 0 <= (stage.peak_probe or 0) - measured <= split["optimizer"] + 64


def test_the_largest_need_decides(tmp_path: Path) -> None:
    one = ("tasks=[{shape: {family: classification, batch_size: 1, length: 48}}]", "seeds=[0]",
           "methods=[lora]")  # fmt: skip
    forecaster = Forecaster(tmp_path / "cache", 1)
    [small] = forecast_cells(forecaster, cells(tmp_path, *one), [CARDS["l4"]])
    large_cells = cells(tmp_path, *one, "train.eval_batch_size=512")
    [large] = forecast_cells(forecaster, large_cells, [CARDS["l4"]])
    assert (small.decides, large.decides) == ("training", "evaluation")
    assert large.peak_reserved == small.peak_reserved, "of training"
    assert (large.device or 0) > (small.device or 0)
    between = Card("between", (small.device or 0) + 2**21, (8, 9), CARDS["l4"].context)
    small, large = (forecast_cells(forecaster, c, [between])[0]
                    for c in (cells(tmp_path, *one), large_cells))  # fmt: skip
    assert (small.fits != "does not fit", large.fits) == (True, "does not fit")


def test_an_evaluation_batch_follows_the_training_batch(tmp_path: Path) -> None:
    given, follows = (
        cell_of(tmp_path, "lora", *more)
        for more in (["train.eval_batch_size=8"], ["train.batch_size=8"])
    )
    assert (given.train.evaluation_batch, follows.train.evaluation_batch) == (8, 8)
    assert given.key == follows.key


def test_a_batch_of_one_has_no_padding(tmp_path: Path) -> None:
    """It is as long as its example."""
    one, two = (
        forked(forecast, request("tiny-gpt2", family="causal_lm").model_copy(
            update={"steps": (BatchShape(1, 64, padded=padded),)}))
        for padded in (False, True)
    )  # fmt: skip
    assert one.peak_allocated < two.peak_allocated
