"""From a trace to seconds on a clock."""

from __future__ import annotations

from collections import defaultdict

import numpy
from numpy.typing import NDArray

from harness.timing.clock import Clock
from harness.timing.device import Seconds, Traced, device_seconds
from harness.timing.host import host_seconds
from harness.timing.queues import in_turn, run
from harness.timing.times import StepTime, Times
from harness.timing.trace import Tracer

MOST_PASSES = 3  # of a trace: the first, one that stands for those between, the last
REPEATED = 2  # middle passes that are run in addition: the last one's time is that of all others
BESIDE = ("evaluation", "probe")


def times_of(tracer: Tracer, clock: Clock, accumulate: int = 1, tf32: bool = False) -> Times:
    """Time every activity of a trace on one clock; see `Timing`."""
    return Timing(tracer, accumulate, tf32).on(clock)


class Timing:
    """The activities of a trace, to be timed on one clock or more.

    Args:
        tracer: of a request's steps, at most three passes each.
        accumulate: passes of a real step: a middle one of the trace stands for all between the
            first and the last.
        tf32: products in fp32 may round their inputs to tf32.
    """

    def __init__(self, tracer: Tracer, accumulate: int = 1, tf32: bool = False) -> None:
        self._at_least, self._tf32 = sorted(tracer.unknown), tf32
        self._activities = {
            name: _Activity(tracer, name, 1 if name in BESIDE else accumulate)
            for name in tracer.rows
        }

    def on(self, clock: Clock) -> Times:
        """Time every activity on a clock."""
        timed = {name: each.on(clock, self._tf32) for name, each in self._activities.items()}
        beside = {name: timed.pop(name, None) for name in BESIDE}
        cpu, unknown = clock.processor, self._at_least
        if cpu is not None:  # what nobody knows of a card's kernels may have been measured here
            unknown = [name for name in unknown if not cpu.knows(name)]
        return Times(steps=list(timed.values()), at_least=unknown, **beside)


class _Activity:
    """A step with all its passes, or what is done beside steps."""

    def __init__(self, tracer: Tracer, name: str, accumulate: int) -> None:
        rows, begins = tracer.rows[name], tracer.passes[name]
        self.traced = Traced(rows, tracer.modules.get(name, ()))
        traced = min(accumulate, MOST_PASSES)
        self.sizes = tuple(size * accumulate // traced for size in tracer.sizes[name])
        self.more = accumulate - traced
        self.first, self.middle, self.last = (
            numpy.arange(start, end)
            for start, end in zip(
                (0, *_middle(begins, self.more)), (*_middle(begins, self.more), len(rows)),
                strict=True,
            )
        )  # fmt: skip
        kinds = numpy.array([_part(kind.part, name) for kind in rows.kinds])
        self.parts = kinds[numpy.array(rows.numbers, int)]

    def on(self, clock: Clock, tf32: bool) -> StepTime:
        """Return its time on a clock."""
        traced = self.traced
        device, host = device_seconds(traced, clock, tf32), host_seconds(traced, clock)
        together = clock.processor is not None
        parts = self._parts(host, device, min(self.more, REPEATED), together)
        if self.more > REPEATED:
            before = self._parts(host, device, REPEATED - 1, together)
            for part, seconds in before.items():
                parts[part] += (self.more - REPEATED) * (parts[part] - seconds)
        examples, tokens = self.sizes
        return StepTime(
            seconds=sum(parts.values()),
            host=self._sum(host),
            device=self._sum(device),
            parts=dict(parts),
            examples=examples,
            tokens=tokens,
        )

    def _sum(self, seconds: Seconds) -> float:
        return float(seconds.sum() + self.more * seconds[self.middle].sum())

    def _parts(self, host: Seconds, device: Seconds, more: int, together: bool) -> dict[str, float]:
        """Return the seconds of every part, with so many more middle passes.

        `together`: host and device are one CPU, which does one thing at a time.
        """
        order = numpy.concatenate([self.first, *[self.middle] * (more + 1), self.last])
        traced, host, device = self.traced, host[order], device[order]
        if together:
            course = in_turn(host, device)
        else:
            course = run(host, device, traced.launches[order], traced.waits[order])
        return _by_part(self.parts[order], course.done, course.seconds)


def _middle(begins: list[int], more: int) -> tuple[int, int]:
    """Return where the middle pass begins and ends; nowhere if none is repeated."""
    return (begins[1], begins[2]) if more else (0, 0)


def _part(part: str, activity: str) -> str:
    """Return the part that a row is of: what comes before forward begins belongs to it."""
    if activity in BESIDE:
        return activity
    return part if part in ("backward", "optimizer") else "forward"


def _by_part(parts: NDArray[numpy.str_], done: Seconds, seconds: float) -> dict[str, float]:
    """Return the seconds until the device is done with each part; the last one has the rest."""
    found: dict[str, float] = defaultdict(float)
    if not len(parts):
        return found
    ends = numpy.append(numpy.nonzero(parts[1:] != parts[:-1])[0], len(parts) - 1)
    before = 0.0
    for end in ends:
        found[str(parts[end])] += float(done[end]) - before
        before = float(done[end])
    found[str(parts[-1])] += seconds - before
    return found
