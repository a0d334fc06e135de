"""What a ledger wrote down: blocks, the order in which they came and went, and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

CATEGORIES = (
    "weights.base",
    "weights.adapter",
    "gradients",
    "optimizer",
    "activations",
    "inputs",
    "method",
    "temporary",
)
# The parts of a step, by the mark that begins each.
PARTS = ("forward", "backward", "optimizer")
MARKS = (*PARTS, "end")


@dataclass(slots=True, eq=False)
class Block:
    """The memory of one storage, from its birth to its death or to its next resize.

    Attributes:
        id: number of the block within its ledger, in order of birth.
        size: bytes, rounded as the ledger was told.
        op: name of the operator that made it, such as `aten::addmm`; `existing` for a storage
            that was there before.
        path: qualified name of the module (or parameter) it belongs to, empty where unknown.
        category: one of CATEGORIES, None while nothing is known; None counts as temporary.
        maker: number of the autograd node that made it in backward, -1 outside backward.
        recomputed: made in backward with grad mode on, as checkpointing and reversible blocks do.
        asked: bytes, not rounded.
    """

    id: int
    size: int
    op: str
    path: str = ""
    category: str | None = None
    maker: int = -1
    recomputed: bool = False
    asked: int = 0


class Event(NamedTuple):
    """One line of the log, in the order in which it happened.

    A mark has a name and no block; an `alloc` or `free` has its block; at `empty` the allocator's
    cache is given back. A replay needs nothing else: sizes and identities are in the block.
    """

    kind: Literal["alloc", "free", "mark", "empty"]
    block: Block | None
    name: str = ""


class Holder(NamedTuple):
    """What one operator in one module holds at the peak."""

    category: str
    op: str
    path: str
    num_bytes: int
    num_blocks: int


@dataclass(frozen=True)
class LedgerReport:
    """Every byte alive during the logged time; all figures in bytes.

    Attributes:
        peak: largest sum of live blocks.
        split: bytes per category at the peak, every category present; sums to `peak`.
        peak_mark: last mark before the peak (`start` before the first), so the part it is in.
        at_rest: live bytes at the last `end` mark, or at the end of the log without one.
        saved: activations alive when a forward pass ended; the largest, if there were several.
        peaks: largest sum in each part of the step that the log has, by its mark.
        undeclared: bytes at the peak that were there before the ledger and that nobody claimed;
            part of `temporary`.
        num_events: length of the log.
        holders: what holds the peak, largest first.
    """

    peak: int
    split: dict[str, int]
    peak_mark: str
    at_rest: int
    saved: int
    peaks: dict[str, int]
    undeclared: int
    num_events: int
    holders: tuple[Holder, ...]


@dataclass(frozen=True)
class Alive:
    """What is alive at a moment at which an operator asks for more than there is.

    Attributes:
        op: that asks; empty: none that the ledger sees.
        path: module that it belongs to.
        part: of the step, by its mark; `start` before the first.
        total: bytes; `split` by category, every one present, sums to it.
        holders: all of them, largest first.
    """

    op: str
    path: str
    part: str
    total: int
    split: dict[str, int]
    holders: tuple[Holder, ...]


class _Moment(NamedTuple):
    """State of the log after one event."""

    number: int
    event: Event
    total: int
    activations: int
    part: str


def _walk(events: Iterable[Event]) -> Iterator[_Moment]:
    total = activations = 0
    part = "start"
    for number, event in enumerate(events):
        if event.kind == "mark":
            part = event.name
        elif event.block is not None:
            change = event.block.size if event.kind == "alloc" else -event.block.size
            total += change
            if event.block.category == "activations":
                activations += change
        yield _Moment(number, event, total, activations, part)


def summarize(events: list[Event], since: int = 0, top: int = 30) -> LedgerReport:
    """Find the peak of a log and split it.

    Args:
        events: the whole log, from the first block on; its blocks carry their final category.
        since: number of the first event in which the peak is sought.
        top: how many holders to name.
    """
    peak = saved = at_rest = 0
    peak_index, peak_mark = -1, "start"
    peaks: dict[str, int] = {}
    ended = False
    for moment in _walk(events):
        if moment.number < since:
            continue
        name = moment.event.name
        if name == "backward":
            saved = max(saved, moment.activations)
        if name == "end" or not ended:
            at_rest, ended = moment.total, name == "end"
        peaks[moment.part] = max(peaks.get(moment.part, 0), moment.total)
        if moment.total > peak:
            peak, peak_index, peak_mark = moment.total, moment.number, moment.part
    alive = alive_after(events, peak_index)
    split = _split(alive)
    return LedgerReport(
        peak=peak,
        split=split,
        peak_mark=peak_mark,
        at_rest=at_rest,
        saved=saved,
        peaks={name: peaks[name] for name in PARTS if name in peaks},
        undeclared=sum(b.size for b in alive if b.op == "existing" and b.category is None),
        num_events=len(events) - since,
        holders=_holders(alive, top),
    )


def alive_after(events: list[Event], index: int) -> list[Block]:
    """Return the blocks alive after event number `index`, oldest first."""
    alive: dict[int, Block] = {}
    for event in events[: index + 1]:
        if event.kind == "alloc" and event.block is not None:
            alive[event.block.id] = event.block
        elif event.kind == "free" and event.block is not None:
            del alive[event.block.id]
    return list(alive.values())


def alive_now(blocks: Iterable[Block], op: str, path: str, part: str) -> Alive:
    """Sum up blocks that live at a moment."""
    alive = list(blocks)
    split = _split(alive)
    return Alive(op, path, part, sum(split.values()), split, _holders(alive, None))


def _split(blocks: Iterable[Block]) -> dict[str, int]:
    split = dict.fromkeys(CATEGORIES, 0)
    for block in blocks:
        split[block.category or "temporary"] += block.size
    return split


def _holders(alive: Iterable[Block], top: int | None) -> tuple[Holder, ...]:
    num_bytes: Counter[tuple[str, str, str]] = Counter()
    counts: Counter[tuple[str, str, str]] = Counter()
    for block in alive:
        key = (block.category or "temporary", block.op, block.path)
        num_bytes[key] += block.size
        counts[key] += 1
    return tuple(Holder(*key, size, counts[key]) for key, size in num_bytes.most_common(top))
