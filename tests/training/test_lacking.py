"""Memory that runs out inside a cell: what was alive is in the record, with the forecast."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import cell_of, rows, silent
from limited import Limited

from harness.cell import run_cell
from harness.out_of_memory import Batches, is_of_device, is_out_of_memory
from harness.record import Record
from harness.suite.cell import Cell
from harness.training.loop import Loop

ENOUGH = 10**9


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    return cell_of(tmp_path, "{lora: {r: 4}}", rows(24, 32), "train.epochs=1")


def run_within(
    cell: Cell, limit: int, monkeypatch: pytest.MonkeyPatch, batches: Batches | None = None
) -> Record:
    """Run the cell's loop where so many bytes are all there is."""
    run = Loop.run

    def limited(loop: Loop) -> Any:
        model = loop.setup.model
        with Limited(limit, [*model.parameters(), *model.buffers()]):
            return run(loop)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "run", limited)
        return run_cell(cell, silent, batches=batches)


def test_what_was_alive_when_a_step_ran_out_is_told(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first step has no ledger: it is done again under one."""
    limit = 1_200_000
    record = run_within(cell, limit, monkeypatch)
    assert (record.outcome, record.message) == (
        "oom", "CUDA: CUDA out of memory. Tried to allocate some.",
    )  # fmt: skip
    lack = record.out_of_memory
    assert lack is not None
    assert (lack.doing, lack.batch_of, lack.step, lack.again) == ("training", "training", 0, True)
    assert lack.part == "forward"
    assert (lack.path or "").startswith("bert.")
    assert lack.alive is not None
    assert limit - 50_000 < lack.alive <= limit
    assert sum(lack.split.values()) == lack.alive
    assert lack.split["activations"] > lack.split["weights.base"] > lack.split["weights.adapter"]
    held = {(one["category"], one["path"]): one["num_bytes"] for one in lack.holders}
    assert held["weights.base", "bert.embeddings.word_embeddings.weight"] == 256_000
    assert [*held.values()] == sorted(held.values(), reverse=True)
    assert any("layer.*" in path for _, path in held), "like layers stand together"
    assert record.forecast is not None
    [stage] = record.forecast.stages.values()
    assert stage.peak_allocated > limit
    assert Record.model_validate_json(record.model_dump_json()) == record


def test_the_same_steps_in_halves_fit_and_say_so(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice as many passes of half a batch make the step that did not fit."""
    asked = Batches(batch_size=8, accumulate=1, eval_batch_size=8)
    half = Batches(batch_size=4, accumulate=2, eval_batch_size=8)
    halved = run_within(cell, 1_200_000, monkeypatch, half)
    whole = run_within(cell, ENOUGH, monkeypatch)
    assert halved.asked_batches == asked
    assert (halved.key, halved.path) == (whole.key, whole.path)
    assert (halved.cell["train"]["batch_size"], halved.cell["train"]["accumulate"]) == (4, 2)
    assert halved.outcome == whole.outcome == "ok"
    assert halved.steps == whole.steps == 3
    assert (halved.is_halved, whole.is_halved) == (True, False)
    assert halved.memory is not None
    assert whole.memory is not None
    assert halved.memory.peak_training < 1_200_000 < whole.memory.peak_training
    assert halved.forecast is not None
    [stage] = halved.forecast.stages.values()
    # Of the halves, too: of the longest of them, which this short run has in its first step alone.
    assert halved.memory.peak_training <= stage.peak_allocated < 1_200_000


def test_an_evaluation_that_runs_out_is_one(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = Batches(batch_size=1, accumulate=8, eval_batch_size=32)
    lack = run_within(cell, 960_000, monkeypatch, batches).out_of_memory
    assert lack is not None
    assert (lack.doing, lack.batch_of, lack.step) == ("evaluating test", "evaluation", None)
    assert lack.again is None, "a ledger watches the largest batch on the CPU"
    assert lack.alive


def test_a_step_that_fits_when_done_again_tells_its_peak(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process took its share for a moment, or the allocator's caches were in pieces."""
    from harness.training.step import Step

    run, failed, here = Step.run, [], os.getpid()

    def once(step: Step, *given: Any) -> bool:
        if os.getpid() == here and not failed:  # not in the process that forecasts
            failed.append(True)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(step, *given)

    monkeypatch.setattr(Step, "run", once)
    record = run_cell(cell, silent)
    assert record.outcome == "oom"
    lack = record.out_of_memory
    assert lack is not None
    assert (lack.again, lack.op, lack.part) == (False, None, "backward")
    assert record.forecast is not None
    [stage] = record.forecast.stages.values()
    first = stage.peak_allocated - stage.split["optimizer"]  # which has no states yet
    assert lack.alive == pytest.approx(first, abs=64)


def test_a_model_that_does_not_fit_has_its_forecast(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs out before there are steps whose shapes could be forecast."""

    def full(*_given: Any, **_named: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr("harness.training.setup.build_step", full)
        record = run_cell(cell, silent)
    assert record.out_of_memory is not None
    assert record.out_of_memory.doing == "attaching method"
    assert (record.out_of_memory.batch_of, record.out_of_memory.alive) == (None, None)
    assert record.forecast is not None
    whole = run_cell(cell, silent).forecast
    assert whole is not None
    peaks = [
        [stage.peak_allocated for stage in forecast.stages.values()]
        for forecast in (record.forecast, whole)
    ]
    assert peaks[0] == peaks[1]


@pytest.mark.parametrize(
    ("error", "lacking", "of_device"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True, True),
        (RuntimeError("CUDA error: out of memory\nCompile with"), True, True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `c`"), True, True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True, False),
        (MemoryError(), True, False),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False, False),
        (ValueError("out of memory"), False, False),
    ],
    ids=str,
)
def test_errors_that_say_that_memory_ran_out(
    error: Exception, lacking: bool, of_device: bool
) -> None:
    assert (is_out_of_memory(error), is_of_device(error)) == (lacking, of_device)
