"""One step's memory over its course: by category and by place in the model, and what is reserved.

Made from the same log of births and deaths as the forecast, in a run of its own: forecasts pay
nothing for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness.metering.events import CATEGORIES
from harness.part import Part
from harness.simulation.request import Request
from harness.simulation.step_forecast import LAYER

if TYPE_CHECKING:
    from harness.metering.events import Block, Event

MOST_POINTS = 1000
# Blocks that have the name of a parameter in place of a module's.
OF_PARAMETERS = frozenset({"weights.base", "weights.adapter", "gradients", "optimizer"})
UNSPLIT = "unsplit"  # what the allocator counts beyond the tensors


class Timeline(Part):
    """The step that has the peak, from the second one on. Bytes; one value per point.

    A point stands for a stretch of births and deaths: the moment of it at which most is allocated,
    and the most that is reserved in it.

    Attributes:
        step: number of the step, from 0.
        shape: examples, padded length, target length of its batch.
        num_events: births and deaths in it.
        parts: the number of the event with which each forward, backward, optimizer begins.
        numbers: of each point's event, from 0 at the beginning of the step.
        allocated: as torch counts it; its largest is the forecast's peak.
        reserved: held by the caching allocator; 0 on the CPU.
        categories: `metering.events.CATEGORIES` and `unsplit`; at every point they sum to
            `allocated`.
        places: by module, layers summed up under `*`, in the order in which they first hold
            anything; they sum to `allocated` without `unsplit`.
    """

    step: int
    shape: tuple[int, ...]
    num_events: int
    parts: list[tuple[str, int]]
    numbers: list[int]
    allocated: list[int]
    reserved: list[int]
    categories: dict[str, list[int]]
    places: dict[str, list[int]]

    @property
    def peak(self) -> int:
        """The number of the point with the peak."""
        return self.allocated.index(max(self.allocated))


def timeline(request: Request, most_points: int = MOST_POINTS) -> Timeline:
    """Run the request's steps and follow the one with the peak; run it in a fork, as `forecast`.

    Raises:
        UserError: it cannot be forecast, and why.
    """
    from harness.simulation.built import prepare_process
    from harness.simulation.fake import fake_run

    prepare_process(request)
    run = fake_run(request)
    until = min((*run.begins.values(), len(run.events)))
    events = run.events[:until]
    totals = _replayed(events, request.target.kind == "cuda")
    peak = max(range(run.since, until), key=lambda number: totals[number].allocated)
    ends = [number for number, event in enumerate(events) if event.name == "end"]
    step = sum(end < peak for end in ends)
    begin = ends[step - 1] + 1  # the peak lies in the second step or later
    stop = next((end for end in ends if end > peak), until)
    width = -(-(stop - begin) // most_points)
    stretches = [range(start, min(start + width, stop)) for start in range(begin, stop, width)]
    chosen = [max(stretch, key=lambda n: totals[n].allocated) for stretch in stretches]
    categories, places = _split_at(events, chosen)
    allocated = [totals[number].allocated for number in chosen]
    sums = [sum(split.values()) for split in categories]
    shapes = request.steps if len(request.steps) > 1 else request.steps * 2
    return Timeline(
        step=step,
        shape=shapes[step].brief,
        num_events=stop - begin,
        parts=[
            (event.name, number)
            for number, event in enumerate(events[begin:stop]) if event.kind == "mark"
        ],
        numbers=[number - begin for number in chosen],
        allocated=allocated,
        reserved=[max(totals[number].reserved for number in stretch) for stretch in stretches],
        categories={
            **{name: [split[name] for split in categories] for name in CATEGORIES},
            UNSPLIT: [whole - part for whole, part in zip(allocated, sums, strict=True)],
        },
        places={name: [held[name] for held in places] for name in places[-1]},
    )  # fmt: skip


class _Totals(NamedTuple):
    """After one event."""

    allocated: int
    reserved: int


def _replayed(events: Sequence[Event], on_cuda: bool) -> list[_Totals]:
    """Return what is allocated and reserved after each event of a log."""
    from harness.simulation.allocator import CachingAllocator

    allocator, totals, live = CachingAllocator(), [], 0
    figures = allocator.figures
    for event in events:
        if event.block is not None:
            live += event.block.size if event.kind == "alloc" else -event.block.size
        if on_cuda:
            allocator.replay((event,))
        totals.append(_Totals(figures.allocated if on_cuda else live, figures.reserved))
    return totals


def _split_at(
    events: Sequence[Event], chosen: Sequence[int]
) -> tuple[list[Counter[str]], list[Counter[str]]]:
    """Return the bytes by category and by place after each of the chosen events."""
    by_category, by_place = Counter[str](), Counter[str]()
    categories, places = [], []
    wanted = iter(chosen)
    next_one = next(wanted)
    for number, event in enumerate(events):
        block = event.block
        if block is not None:
            change = block.size if event.kind == "alloc" else -block.size
            by_category[block.category or "temporary"] += change
            by_place[_place(block)] += change
        if number == next_one:
            categories.append(by_category.copy())
            places.append(by_place.copy())
            next_one = next(wanted, -1)
    return categories, places


def _place(block: Block) -> str:
    """Return the module that a block belongs to, layers under `*`; a parameter's is its owner."""
    path = block.path.rpartition(".")[0] if block.category in OF_PARAMETERS else block.path
    return LAYER.sub("*", path)
