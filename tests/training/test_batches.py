"""Order and padding of batches."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from math import inf

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.shapes import BatchShape
from harness.suite.settings import TrainSettings
from harness.tasks.families.text import Tokens
from harness.training.batches import TrainingOrder, evaluation_batches


def encoded(lengths: list[int]) -> Tokens:
    rows = [[7] * n for n in lengths]
    masks = [[1] * n for n in lengths]
    labels = torch.arange(len(lengths))
    return Tokens(
        {"input_ids": rows, "attention_mask": masks}, labels, {"input_ids": 9, "attention_mask": 0}
    )


def order(lengths: list[int], seed: int = 0, **settings: object) -> TrainingOrder:
    return TrainingOrder(encoded(lengths), TrainSettings.model_validate(settings), seed)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), st.integers(1, 7), st.integers(1, 3),
       st.booleans())  # fmt: skip
def test_an_epoch_is_every_example_once(
    lengths: list[int], size: int, accumulate: int, grouping: bool
) -> None:
    made = order(lengths, batch_size=size, accumulate=accumulate, length_grouping=grouping)
    steps = made.epoch(0)
    assert len(steps) == made.steps_per_epoch
    assert sorted(chain.from_iterable(chain.from_iterable(steps))) == list(range(len(lengths)))
    assert all(len(batch) <= size for step in steps for batch in step)


def test_order_depends_on_seed_and_epoch_only() -> None:
    made = order([3] * 50, batch_size=4)
    assert made.epoch(1) == order([3] * 50, batch_size=4).epoch(1)
    assert made.epoch(1) != made.epoch(0)
    assert made.epoch(0) != order([3] * 50, seed=1, batch_size=4).epoch(0)


def test_max_steps_cuts_the_last_epoch() -> None:
    made = order([3] * 10, batch_size=2, epochs=3, max_steps=7)
    assert (made.num_steps, made.num_epochs) == (7, 2)
    assert [len(made.epoch(epoch)) for epoch in range(2)] == [5, 2]


def test_padding_to_the_longest_and_to_max() -> None:
    made = order([2, 5], batch_size=2)
    batch = made.tensors([0, 1], torch.device("cpu"))
    assert batch["input_ids"].tolist() == [[7, 7, 9, 9, 9], [7, 7, 7, 7, 7]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]
    fixed = order([2, 5], batch_size=2, padding="max", max_length=8)
    assert fixed.tensors([0], torch.device("cpu"))["input_ids"].shape == (1, 8)
    assert made.shape([0, 1]) == BatchShape(2, 5, padded=True)
    assert made.shape([0]) == BatchShape(1, 2, padded=False)
    assert fixed.shape([0]) == BatchShape(1, 8, padded=True)


def test_length_grouping_wastes_less_padding() -> None:
    lengths = torch.randint(1, 60, (400,), generator=torch.Generator().manual_seed(0)).tolist()

    def tokens(made: TrainingOrder) -> int:
        return sum(shape.tokens for step in made.epoch(0) for shape in map(made.shape, step))

    plain, grouped = (
        order(lengths, batch_size=8),
        order(lengths, batch_size=8, length_grouping=True),
    )
    assert tokens(grouped) < 0.75 * tokens(plain)


def test_evaluation_sees_every_example_once_longest_first() -> None:
    data = encoded([1, 4, 2, 3])
    found = list(evaluation_batches(data, TrainSettings(eval_batch_size=3), torch.device("cpu")))
    assert [indices for indices, _ in found] == [[1, 3, 2], [0]]
    assert found[0][1]["labels"].tolist() == [1, 3, 2]


@pytest.mark.parametrize("devices", [2, 3])
@pytest.mark.parametrize("grouping", [False, True])
def test_ranks_share_the_batches_of_one_process(devices: int, grouping: bool) -> None:
    lengths = [3 + i % 7 for i in range(23)]
    made = order(lengths, batch_size=2, devices=devices, accumulate=2, length_grouping=grouping)
    one = order(lengths, batch_size=2 * devices, accumulate=2, length_grouping=grouping)
    assert made.steps_per_epoch == one.steps_per_epoch
    ranks = [replace(made, rank=rank) for rank in range(devices)]
    for batches in made.epoch(0):
        shares = [each.own(batches) for each in ranks]
        parts = [each.parts(batches) for each in ranks]
        for i, (batch, whole) in enumerate(zip(batches, one.parts(batches), strict=True)):
            counted = [share[i] for share, part in zip(shares, parts, strict=True) if part[i] < inf]
            assert sorted(index for share in counted for index in share) == sorted(batch)
            # Means over the shares, weighted and averaged over ranks, are the mean over the batch.
            assert sum(1 / (part[i] * devices) for part in parts) == pytest.approx(1 / whole)
            assert all(share[i] for share in shares), "each takes part in every step"
    assert made.epoch(0) == one.epoch(0)
