"""The buffer of a sum over rows, as torch's allocator gave it on an H100 (torch 2.11)."""

from __future__ import annotations

import pytest
import torch

from harness.simulation.reductions import sum_scratch
from harness.simulation.target import Target

H100 = Target(kind="cuda", capability=(9, 0))
A6000 = Target(kind="cuda", capability=(8, 6))


def test_the_gradient_of_a_bias_takes_twice_its_input() -> None:
    """Seen: 37,748,736 B and 96 B of semaphores, 24 blocks in the grid."""
    assert sum_scratch(torch.empty(1536, 3072, device="meta"), [0], H100) == 37_748_736


@pytest.mark.parametrize("shape", [(8, 192, 3072), (1536, 1, 3072)])
def test_rows_may_have_several_dimensions(shape: tuple[int, ...]) -> None:
    assert sum_scratch(torch.empty(shape, device="meta"), [0, 1], H100) == 37_748_736


def test_few_rows_need_none() -> None:
    assert sum_scratch(torch.empty(1000, 3072, device="meta"), [0], H100) == 0


def test_a_small_card_shares_an_output_among_fewer_blocks() -> None:
    tensor = torch.empty(65_536, 3072, device="meta")
    assert 0 < sum_scratch(tensor, [0], A6000) < sum_scratch(tensor, [0], H100)


def test_what_is_not_known_counts_as_nothing() -> None:
    tensor = torch.empty(4, 4096, 8, device="meta")
    assert sum_scratch(tensor, [1], H100) == 0
    assert sum_scratch(tensor.transpose(0, 2), [0], H100) == 0


def test_a_sum_along_rows_keeps_one_number_per_block() -> None:
    assert 0 < sum_scratch(torch.empty(8, 2**20, device="meta"), [1], H100) < 2**12
    assert sum_scratch(torch.empty(4096, 64, device="meta"), [1], H100) == 0
