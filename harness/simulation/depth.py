"""The log of a deep model from those of two shallow ones, whose layers are all alike.

One more layer inserts the same moves at the same places of the log. Which block dies there is told
by its rank among the living of its kind, from the oldest or from the latest: what forward saves,
backward frees in reverse, and an optimizer's lists are freed in their order.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from harness.simulation.log import EMPTIED, Log
from harness.simulation.step_forecast import LAYER

SURE = 2  # moves that must agree behind what is taken for an inserted piece


class _Move(NamedTuple):
    """A move with what it is called in every layer alike.

    Attributes:
        kind: number of operator, place and size, layers as one; negative for a death.
        block: number of the block, from 0; -1 where the cache is emptied.
        older, later: living blocks of the kind that are so, where it dies.
    """

    kind: int
    block: int
    older: int = 0
    later: int = 0


class _Kinds:
    """Numbers of what blocks are called, the same for both logs.

    Of an optimizer's lists only sizes tell one tensor from another; what grows with the depth has
    a size in one log that is not in the other.
    """

    def __init__(self, *logs: Log) -> None:
        self.numbers: dict[tuple[str, str, int], int] = {}
        one, other = (set(map(_name, log.makers, log.sizes)) for log in logs)
        self.common = one & other

    def of(self, log: Log) -> list[int]:
        """Return the kind of every block."""
        names = map(_name, log.makers, log.sizes)
        known = (name if name in self.common else (*name[:2], -1) for name in names)
        return [self.numbers.setdefault(name, len(self.numbers) + 1) for name in known]


def _name(maker: tuple[str, str], size: int) -> tuple[str, str, int]:
    return maker[0], LAYER.sub("*", maker[1]), size


def deepened(shallow: Log, deeper: Log, layers: int, depth: int) -> Log | None:
    """Return the log at a depth.

    Args:
        shallow: with one layer less than the other one.
        deeper: with `layers` layers.
        layers: at least 3.
        depth: layers of the model that nobody ran.

    Returns:
        None: its layers are not alike, or do more than once what is not known.
    """
    kinds = _Kinds(shallow, deeper)
    one, other = _named(shallow, kinds), _named(deeper, kinds)
    steps = _aligned(one, other)
    if steps is None:
        return None
    writer = _Writer(deeper, depth - layers)
    starts = {start: name for name, start in shallow.starts.items()}
    found = {}
    for here, there, length in steps:
        if length:
            writer.repeat(other, there, length)
            continue
        if here in starts:
            found[starts[here]] = len(writer.moves)
        if not writer.once(one[here], other[there], shallow.sizes):
            return None
    if len(found) < len(starts):
        return None
    return Log(writer.moves, writer.sizes, writer.makers, found)


def _named(log: Log, kinds: _Kinds) -> list[_Move]:
    living: defaultdict[int, list[int]] = defaultdict(list)
    named, numbers = [], kinds.of(log)
    for move in log.moves:
        if move == EMPTIED:
            named.append(_Move(0, -1))
            continue
        block = abs(move) - 1
        kind = numbers[block]
        alive = living[kind]
        if move > 0:
            alive.append(block)
            named.append(_Move(kind, block))
        else:
            rank = alive.index(block)
            del alive[rank]
            named.append(_Move(-kind, block, rank, len(alive) - rank))
    return named


def _aligned(one: list[_Move], other: list[_Move]) -> list[tuple[int, int, int]] | None:
    """Return (index, index, 0) of moves that both have, and (index, index, length) of pieces.

    A piece is what the second has in front of what comes next in both.
    """
    a, b = [move.kind for move in one], [move.kind for move in other]
    steps, i, j = [], 0, 0
    while i < len(a) or j < len(b):
        if i < len(a) and j < len(b) and a[i] == b[j]:
            steps.append((i, j, 0))
            i, j = i + 1, j + 1
            continue
        length = _inserted(a, b, i, j)
        if length is None:
            return None
        steps.append((i, j, length))
        j += length
    return steps


def _inserted(a: list[int], b: list[int], i: int, j: int) -> int | None:
    """Return the length of the piece: what is there once more, in front of what comes next."""
    ahead = a[i : i + SURE]
    for length in range(1, min(j, len(b) - j) + 1):
        if b[j + length : j + length + len(ahead)] != ahead or b[j] != b[j - length]:
            continue
        if b[j : j + length] == b[j - length : j] and (ahead or j + length == len(b)):
            return length
    return None


class _Writer:
    """Writes the moves of the deep model; of each kind it knows who lives."""

    def __init__(self, deeper: Log, more: int) -> None:
        self.deeper, self.more = deeper, more
        self.moves, self.sizes = list[int](), list[int]()
        self.makers = list[tuple[str, str]]()
        self._living: defaultdict[int, list[int]] = defaultdict(list)

    def once(self, one: _Move, other: _Move, sizes: list[int]) -> bool:
        """Write a move that both logs have; sizes may grow with the depth."""
        if one.block < 0:
            self.moves.append(EMPTIED)
            return True
        if one.kind > 0:
            size = self.deeper.sizes[other.block]
            self._born(other, size + self.more * (size - sizes[one.block]))
            return True
        return self._dies(other, from_latest=one.later == other.later)

    def repeat(self, moves: list[_Move], begin: int, length: int) -> None:
        """Write a piece as often as there are layers more, and once for the log's own."""
        piece, before = moves[begin : begin + length], moves[begin - length : begin]
        for _ in range(1 + self.more):
            for index, move in enumerate(piece):
                if move.kind > 0:
                    self._born(move, self.deeper.sizes[move.block])
                elif move.kind < 0:
                    self._dies(move, from_latest=before[index].later == move.later)

    def _born(self, move: _Move, size: int) -> None:
        self.sizes.append(max(0, size))
        self.makers.append(self.deeper.makers[move.block])
        self.moves.append(len(self.sizes))
        self._living[move.kind].append(len(self.sizes))

    def _dies(self, move: _Move, from_latest: bool) -> bool:
        alive = self._living[-move.kind]
        rank = len(alive) - 1 - move.later if from_latest else move.older
        if not 0 <= rank < len(alive):
            return False
        self.moves.append(-alive.pop(rank))
        return True
