"""The births and deaths of a step as numbers, which can be drawn out to a step that nobody ran.

Steps that differ in the batch size alone do the same in the same order, and every tensor's bytes
are affine in the batch; in the length they are of second degree at most, for attention's scores.
So a few logs say all others (`weighted`), and the allocator's replay of such a log says what
is allocated and reserved. Kernels whose scratch memory goes by steps, and rows padded to a multiple
of 32, make it an estimate: a forecast at the answer tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul
from typing import TYPE_CHECKING, NamedTuple

from harness.simulation.allocator import ROUND, CachingAllocator, OutOfMemory

if TYPE_CHECKING:
    from harness.simulation.fake import FakeRun

EMPTIED = 0


class Log(NamedTuple):
    """What a replay needs of a run.

    Attributes:
        moves: number of the block that is born, counted from 1; negative where it dies; `EMPTIED`.
        sizes: bytes of each block, not rounded.
        makers: operator and module of each block, as `fake` names them.
        starts: number of the move with which the second step begins, and what is beside the steps.
    """

    moves: list[int]
    sizes: list[int]
    makers: list[tuple[str, str]]
    starts: dict[str, int]


class Needs(NamedTuple):
    """What a log needs, in bytes: at most allocated, and reserved when all of it is done."""

    allocated: int
    reserved: int


def log_of(run: FakeRun) -> Log:
    """Return the run's log."""
    moves, sizes, makers = list[int](), list[int](), list[tuple[str, str]]()
    numbers: dict[int, int] = {}
    marks = {run.since: "training", **{start: name for name, start in run.begins.items()}}
    starts = {}
    for index, event in enumerate(run.events):
        if index in marks:
            starts[marks[index]] = len(moves)
        block = event.block
        if event.kind == "empty":
            moves.append(EMPTIED)
        elif block is not None and event.kind == "alloc":
            sizes.append(block.asked)
            makers.append((block.op, block.path))
            numbers[block.id] = len(sizes)
            moves.append(len(sizes))
        elif block is not None:
            moves.append(-numbers[block.id])
    return Log(moves, sizes, makers, starts)


def replayed(log: Log) -> Needs:
    """Replay the log through the caching allocator without a limit."""
    allocator = CachingAllocator()
    _replay(log, allocator)
    return Needs(allocator.figures.peak_allocated, allocator.figures.peak_reserved)


def stays_within(log: Log, most: int) -> bool:
    """Tell whether no more than this is reserved, as long as nothing makes the allocator give."""
    return _replay(log, CachingAllocator(), most)


def gets_by(log: Log, capacity: int) -> bool:
    """Tell whether an allocator with so many bytes serves the log, giving back what it caches."""
    try:
        return _replay(log, CachingAllocator(capacity))
    except OutOfMemory:
        return False


def _replay(log: Log, allocator: CachingAllocator, most: int | None = None) -> bool:
    """Replay the log; says whether it was done without reserving more than `most`."""
    since, figures, sizes = log.starts["training"], allocator.figures, log.sizes
    for index, move in enumerate(log.moves):
        if index == since:
            figures.peak_allocated = figures.allocated
        if move > 0:
            allocator.allocate(move, sizes[move - 1])
            if most is not None and figures.reserved > most:
                return False
        elif move < 0:
            allocator.release(-move)
        else:
            allocator.empty_cache()
    return True


def summed(log: Log) -> int:
    """Return the largest sum of living blocks from the second step on."""
    total = peak = 0
    since = log.starts["training"]
    sizes = [-(-size // ROUND) * ROUND for size in log.sizes]
    for index, move in enumerate(log.moves):
        if move > 0:
            total += sizes[move - 1]
            if index >= since and total > peak:
                peak = total
        elif move < 0:
            total -= sizes[-move - 1]
    return peak


def in_common(logs: Sequence[Log]) -> list[Log] | None:
    """Return the logs as far as they do the same.

    What is beside the steps may take its rows one by one, as the losses of an evaluation: logs end
    where they are no longer alike. None where the steps are not.
    """
    first = logs[0]
    end = min(_alike(first, log) for log in logs)
    if end < min([len(first.moves), *(n for s, n in first.starts.items() if s != "training")]):
        return None
    moves = first.moves[:end]
    born = max(moves)
    return [Log(moves, log.sizes[:born], first.makers[:born], first.starts) for log in logs]


def _alike(one: Log, other: Log) -> int:
    """Return how many moves from the first on are the same in both."""
    if one.starts["training"] != other.starts["training"]:
        return 0
    for index, (a, b) in enumerate(zip(one.moves, other.moves, strict=False)):
        if a != b or (a > 0 and one.makers[a - 1] != other.makers[a - 1]):
            return index
    return min(len(one.moves), len(other.moves))


def weighted(logs: Sequence[Log], weights: Sequence[float]) -> Log:
    """Return the log with the weighted sums of the sizes of logs that do the same."""
    columns = zip(*(log.sizes for log in logs), strict=True)
    sizes = [round(sum(map(mul, weights, column))) for column in columns]
    return logs[0]._replace(sizes=sizes)


def lagrange(points: Sequence[int], at: float) -> list[float]:
    """Return by how much each point counts where a polynomial through all of them is at `at`."""
    weights = []
    for i, point in enumerate(points):
        weight = 1.0
        for j, other in enumerate(points):
            if i != j:
                weight *= (at - other) / (point - other)
        weights.append(weight)
    return weights
