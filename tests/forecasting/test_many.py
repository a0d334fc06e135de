"""Requests that are built once are forecast as those that are built each for itself."""

from __future__ import annotations

from typing import Any

import pytest
from asked import forked, request

from harness.forecasting import forecaster
from harness.forecasting.forecaster import Asked, Forecaster
from harness.forecasting.many import alike
from harness.simulation.step_forecast import StepForecast, forecast

SHAPES = ((4, 32), (7, 32), (4, 48))
OWN = {"seconds", "host_peak"}


@pytest.mark.parametrize(
    ("method", "options", "train"),
    [("adalora", {"targets": "qv"}, {}), ("bitfit", {}, {"precision": "bf16"})],
)
def test_built_once_or_each_for_itself_it_is_one_forecast(
    method: str, options: dict[str, Any], train: dict[str, Any]
) -> None:
    """Autocast runs on fake tensors of the CPU, the other on meta tensors."""
    asked = [request("tiny-bert", method, options, steps=(shape,), **train) for shape in SHAPES]
    together = Forecaster(None, 1).ask([Asked(each, (10**9,)) for each in asked])
    for each, found in zip(asked, together, strict=True):
        assert isinstance(found, StepForecast)
        alone = forked(forecast, each, (10**9,))
        assert found.model_dump(exclude=OWN) == alone.model_dump(exclude=OWN)


def test_what_is_built_alike_goes_together_and_every_worker_has_some() -> None:
    lora = [request("tiny-bert", steps=(shape,)) for shape in SHAPES]
    other = [request("tiny-bert", "full"), request("tiny-bert", weight_decay=0.1)]
    assert alike([*lora, *other], workers=1) == [[0, 1, 2], [3], [4]]
    assert alike([*lora, *other], workers=3) == [[0, 1], [2], [3], [4]]
    inert = [each.model_copy(update={"train": each.train.model_copy(update={"lr": 1.0})})
             for each in lora]  # fmt: skip
    assert alike([lora[0], inert[1]], workers=1) == [[0, 1]], "no byte depends on it"


def test_a_model_that_cannot_be_built_is_told_of_every_request() -> None:
    asked = [request("tiny-llama", "bitfit", {}, steps=(shape,)) for shape in SHAPES]
    answers = Forecaster(None, 1).ask([Asked(each) for each in asked])
    assert ["the layers of this llama model have none" in str(each) for each in answers] == [
        True
    ] * 3


def test_what_checkpointing_imports_is_imported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[bool] = []
    monkeypatch.setattr(forecaster, "load_late", lambda: loaded.append(True))
    monkeypatch.setattr(forecaster, "preload", lambda _: None)
    Forecaster.prepare([request("tiny-bert")])
    assert not loaded
    Forecaster.prepare([request("tiny-bert", gradient_checkpointing=True)])
    assert loaded
