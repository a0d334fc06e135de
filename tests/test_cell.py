"""One cell from start to end: whatever ends it, what was reached is in the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cells import cell_of, rows, setup_of, silent

from harness.cell import new_record, run_cell
from harness.errors import UserError
from harness.record import Record
from harness.suite.cell import Cell


@pytest.fixture
def make(tmp_path: Path) -> Any:
    def cell(*overrides: str) -> Cell:
        return cell_of(tmp_path, "{lora: {r: 4, dropout: 0.1}}", *overrides)

    return cell


def test_divergence_is_a_result(make: Any) -> None:
    record: Record = run_cell(make("train.lr=1e38", "train.clip=null", "train.epochs=9"), silent)
    assert record.outcome == "diverged"
    assert record.message is not None
    assert "nan" in record.message or "inf" in record.message
    assert record.memory is not None, "what was reached is kept"
    assert record.scores == {}


def test_a_record_has_every_figure(make: Any) -> None:
    record = run_cell(make(), silent)
    assert record.outcome == "ok"
    assert record.steps == 16
    assert record.main_metric == "matthews"
    assert set(record.reported) == {"matthews", "accuracy"}
    assert record.parameters is not None
    assert record.parameters.adapter_trainable == record.parameters.adapter_trainable_mean > 0
    assert record.flops is not None
    assert record.flops.forward_macs
    assert record.flops.training
    assert record.time is not None
    assert record.time.training > 0
    assert Record.model_validate_json(record.model_dump_json()) == record


def test_forward_flops_are_of_a_stated_length_whatever_the_rows(make: Any) -> None:
    lengths, flops = set(), set()
    for count in (24, 100):
        cell = make(rows(count, 8), "train.max_steps=1")
        setup = setup_of(cell)
        lengths.add(setup.order.shape([0]).length)
        record = run_cell(cell, silent)
        assert record.flops is not None
        flops.add((record.flops.forward, record.flops.forward_macs, record.flops.forward_length))
        assert setup.full_example()["input_ids"].shape == (1, 16)
    assert len(lengths) == 2, "the first rows differ in length"
    [(_, _, length)] = flops
    assert length == cell.train.max_length == 16


def test_a_record_says_which_share_of_its_epochs_was_trained(make: Any) -> None:
    record = run_cell(make("train.max_steps=6"), silent)
    assert (record.steps, record.epochs) == (6, 0.75)


def test_a_record_carries_the_forecast_of_its_run(make: Any) -> None:
    record = run_cell(make(), silent)
    assert record.forecast is not None
    assert record.memory is not None
    [stage] = record.forecast.stages.values()
    assert abs(stage.peak_allocated - record.memory.peak_training) <= 64
    assert abs(stage.at_rest - record.memory.phases[0].at_rest) <= 64


def test_a_record_carries_the_seconds_of_its_run_where_its_devices_speed_is_known(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.forecasting import own_run
    from harness.forecasting.cards import CARDS

    monkeypatch.setattr(own_run, "clock_here", lambda _: CARDS["rtx4090"].clock)
    record = run_cell(make(), silent)
    assert record.forecast is not None
    assert (record.forecast.clock or "").startswith("rtx4090, ")
    [stage] = record.forecast.stages.values()
    assert stage.step is not None
    assert stage.step.host > stage.step.device > 0
    assert stage.step.error_bar >= 0.1
    whole = record.forecast.time
    assert whole is not None
    assert record.steps is not None
    assert whole.training == pytest.approx(record.steps * stage.step.mean)
    assert whole.evaluation is not None
    assert whole.evaluation > 0


def test_a_record_of_an_unknown_device_has_no_seconds(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.forecasting import own_run

    monkeypatch.setattr(own_run, "clock_here", lambda _: None)
    foreseen = run_cell(make(), silent).forecast
    assert foreseen is not None
    assert (foreseen.clock, foreseen.time) == (None, None)
    assert all(stage.step is None for stage in foreseen.stages.values())


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        ("load_cell_model", torch.OutOfMemoryError("no room\nat all"), "CUDA: no room"),
        ("set_up", MemoryError(), "host memory: MemoryError"),
        ("set_up", RuntimeError("can't allocate memory: 5 B"), "host memory: can't allocate"),
    ],
)
def test_out_of_memory_keeps_what_was_known(
    make: Any, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception, message: str
) -> None:
    def fail(*_given: Any, **_named: Any) -> None:
        raise error

    monkeypatch.setattr(f"harness.training.setup.{place}", fail)
    record = run_cell(make(), silent)
    assert record.outcome == "oom"
    assert record.message is not None
    assert record.message.startswith(message)
    assert record.environment.packages["torch"]
    assert record.data is not None
    assert record.data.train_rows == 64
    assert (record.provenance is None) == (place == "load_cell_model")
    assert record.seconds > 0


def test_other_errors_are_not_results(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_given: Any, **_named: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("harness.training.setup.set_up", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        run_cell(make(), silent)


def test_a_users_mistake_is_told_as_one(make: Any) -> None:
    with pytest.raises(UserError, match="tiny-bert has 130 positions, and inputs have 131 tokens"):
        run_cell(make("train.max_length=131", "train.padding=max"), silent)


def test_progress_says_what_is_done(make: Any) -> None:
    events: list[dict[str, Any]] = []
    run_cell(make("train.epochs=1"), events.append)
    doing = [event["doing"] for event in events if "doing" in event]
    assert doing == [
        "loading data", "loading model", "attaching method", "forecasting", "counting FLOPs",
        "training", "training", "evaluating test",
    ]  # fmt: skip
    steps = [event["step"] for event in events if "step" in event]
    assert set(range(9)) == set(steps), "every step is told"
    told = [event for event in events if "step" in event]
    assert told[-1]["step"] == told[-1]["steps"] == 8
    assert events[-1] == {"evaluated": 32}, "an evaluation is not silent"


def test_a_new_record_names_its_cell(make: Any) -> None:
    cell = make("seeds=[3]", "grid={batch_size: [4]}")
    record = new_record(cell, "crashed", 2.0, message="so it was")
    assert (record.task, record.model, record.method, record.seed) == (
        "acceptability", "tiny-bert", "lora-r4-d0.1 batch_size=4", 3,
    )  # fmt: skip
    assert (record.key, record.path, record.outcome) == (cell.key, cell.path, "crashed")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(torch.OutOfMemoryError("CUDA out of memory"), "oom"), (MemoryError("none left"), "oom"),
     (ValueError("scores say nothing"), None), (UserError("wrong"), None)],
)  # fmt: skip
def test_what_ends_a_run_before_its_first_step_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, outcome: str | None
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("harness.training.loop.Loop._show_probe", fail)
    cell = cell_of(tmp_path, "bitfit", "train.epochs=1")
    if outcome is None:
        with pytest.raises(type(error), match=str(error)):
            run_cell(cell, silent)
    else:
        record = run_cell(cell, silent)
        assert record.outcome == outcome
        assert str(error) in (record.message or "")
