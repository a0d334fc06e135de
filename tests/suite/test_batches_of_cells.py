"""Batches that are made smaller: the same optimizer steps, in more passes."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from cells import cell_of
from records import record

from harness.out_of_memory import Batches, OutOfMemory
from harness.suite.batches import batches_of, ran, smaller, with_batches
from harness.training.batches import TrainingOrder

LACK = OutOfMemory(doing="training", batch_of="training")


def course(folder: Path, *overrides: str, lack: OutOfMemory = LACK, **rest: Any) -> list[str]:
    """Return the batches of all attempts at a cell that never fits."""
    cell = cell_of(folder, "lora", *overrides)
    batches: Batches | None = batches_of(cell)
    told = []
    while batches is not None:
        told.append(str(batches))
        said = {"outcome": "oom", "message": "CUDA: none", "out_of_memory": lack} | rest
        now = record(cell, 0.5, **said)
        now.cell = with_batches(cell, batches).model_dump(mode="json")
        assert ran(now) == batches
        batches = smaller(cell, now)
    return told


def test_a_training_batch_halves_until_it_is_one_example(tmp_path: Path) -> None:
    evaluated = ", evaluation 8"
    assert course(tmp_path) == ["8 x 1", *(f"{b}{evaluated}" for b in ("4 x 2", "2 x 4", "1 x 8"))]
    told = course(tmp_path, "train.batch_size=6", "train.accumulate=5", "train.eval_batch_size=3")
    assert told == [f"{b}, evaluation 3" for b in ("6 x 5",)] + ["3 x 10", "1 x 30, evaluation 3"]
    assert course(tmp_path, "train.batch_size=7")[1:] == ["1 x 7, evaluation 7"]


def test_an_evaluation_halves_by_itself(tmp_path: Path) -> None:
    lack = OutOfMemory(doing="evaluating test", batch_of="evaluation")
    told = course(tmp_path, "train.eval_batch_size=5", lack=lack)
    assert told == [f"8 x 1, evaluation {n}" for n in (5, 2, 1)]


def test_every_step_sees_the_examples_that_it_would_have_seen(tmp_path: Path) -> None:
    def steps(*overrides: str) -> list[list[int]]:
        settings = cell_of(tmp_path, "lora", *overrides).train
        order = TrainingOrder([0] * 43, settings, seed=3)  # type: ignore[arg-type]
        return [[*chain(*step)] for epoch in range(2) for step in order.epoch(epoch)]

    whole = steps("train.batch_size=12")
    assert steps("train.batch_size=6", "train.accumulate=2") == whole
    assert steps("train.batch_size=1", "train.accumulate=12") == whole


@pytest.mark.parametrize(
    ("overrides", "rest"),
    [
        ([], {"out_of_memory": OutOfMemory(doing="loading model")}),
        ([], {"out_of_memory": None}),
        ([], {"message": "host memory: can't allocate memory"}),
        ([], {"outcome": "crashed"}),
        (["train.optimizer_in_backward=true", "train.clip=null"], {}),
    ],
)
def test_nothing_is_halved_where_it_would_not_help(
    tmp_path: Path, overrides: list[str], rest: dict[str, Any]
) -> None:
    assert course(tmp_path, *overrides, **rest) == ["8 x 1"]
