"""The replay of the caching allocator against its written rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.simulation.allocator import CachingAllocator, OutOfMemory

MIB = 2**20


def test_small_requests_share_a_segment_of_2_mib() -> None:
    allocator = CachingAllocator()
    for name in range(3):
        allocator.allocate(name, 700)
    assert allocator.figures.allocated == 3 * 1024
    assert allocator.figures.reserved == 2 * MIB


@pytest.mark.parametrize(
    ("size", "reserved"),
    [(MIB, 2 * MIB), (MIB + 1, 20 * MIB), (10 * MIB - 512, 20 * MIB), (10 * MIB, 10 * MIB),
     (11 * MIB, 12 * MIB), (21 * MIB, 22 * MIB)],
)  # fmt: skip
def test_segment_sizes(size: int, reserved: int) -> None:
    allocator = CachingAllocator()
    allocator.allocate(0, size)
    assert allocator.figures.reserved == reserved


def test_large_chunks_split_only_when_more_than_1_mib_remains() -> None:
    allocator = CachingAllocator()
    allocator.allocate(0, 12 * MIB)
    allocator.release(0)
    allocator.allocate(1, 11 * MIB)  # remaining 1 MiB: not split, the whole chunk counts
    assert allocator.figures.allocated == 12 * MIB
    allocator.release(1)
    allocator.allocate(2, 11 * MIB - 512)
    assert allocator.figures.allocated == 11 * MIB - 512
    assert allocator.figures.reserved == 12 * MIB


def test_of_equal_chunks_the_one_of_the_latest_segment_goes_first() -> None:
    """The driver hands out addresses downwards; BlockComparatorSize takes the lowest."""
    allocator = CachingAllocator()
    for name in (1, 2):
        allocator.allocate(name, 12 * MIB)
    for name in (1, 2):
        allocator.release(name)
    allocator.allocate(3, 4 * MIB)  # breaks one of both
    allocator.allocate(4, 12 * MIB)
    assert allocator.figures.reserved == 24 * MIB
    assert allocator._used[3].address < allocator._used[4].address


def test_freed_neighbours_coalesce() -> None:
    allocator = CachingAllocator()
    for name in range(4):
        allocator.allocate(name, 5 * MIB)
    assert allocator.figures.reserved == 20 * MIB
    for name in (1, 2):
        allocator.release(name)
    allocator.allocate(9, 10 * MIB - 512)
    assert allocator.figures.reserved == 20 * MIB


def test_cache_is_given_back_before_giving_up() -> None:
    allocator = CachingAllocator(capacity=60 * MIB)
    allocator.allocate(0, 40 * MIB)
    allocator.release(0)
    allocator.allocate(1, 50 * MIB)
    assert (allocator.figures.reserved, allocator.figures.released) == (50 * MIB, 1)
    with pytest.raises(OutOfMemory):
        allocator.allocate(2, 20 * MIB)


def test_expandable_segments_grow_in_place() -> None:
    rigid, expandable = CachingAllocator(), CachingAllocator(expandable=True)
    for allocator in (rigid, expandable):
        for name, size in enumerate((30, 40, 50)):  # a buffer that grows, as lengths do
            allocator.allocate(name, size * MIB)
            allocator.release(name)
    assert rigid.figures.reserved == 120 * MIB
    assert expandable.figures.reserved == 60 * MIB


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 40 * MIB)), max_size=80), st.booleans())
def test_books_balance(requests: list[tuple[bool, int]], expandable: bool) -> None:
    allocator = CachingAllocator(expandable=expandable)
    live: dict[int, int] = {}
    for name, (free_one, size) in enumerate(requests):
        allocator.allocate(name, size)
        live[name] = size
        if free_one:
            first = next(iter(live))
            allocator.release(first)
            del live[first]
        figures = allocator.figures
        assert sum(live.values()) <= figures.allocated <= figures.reserved
    for name in list(live):
        allocator.release(name)
    assert allocator.figures.allocated == 0
    allocator.empty_cache()
    assert allocator.figures.reserved == 0
