"""How long a cell and a suite still need, from what was heard of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from statistics import fmean
from typing import Any, NamedTuple

RECENT = 50  # reports that the pace is taken from
ENOUGH = 5  # steps among them, so that they say anything


@dataclass
class Running:
    """A cell that runs; all times are of one clock, in seconds.

    Attributes:
        began: when its process started.
        stage: what it does, such as `loading model`; `stage_began` is since when.
        step, steps: optimizer steps done and of the whole run, once that is known.
        flops: of the whole run, by its forecast.
    """

    began: float
    flops: float | None = None
    stage: str = "starting"
    stage_began: float = 0.0
    step: int = 0
    steps: int | None = None
    loss: float | None = None
    _heard: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=RECENT))

    def __post_init__(self) -> None:
        """A cell begins with its first stage."""
        self.stage_began = self.began

    def hear(self, progress: dict[str, Any], now: float) -> None:
        """Take over what the cell reports."""
        stage = progress.get("doing", self.stage)
        if stage != self.stage:
            self.stage, self.stage_began = stage, now
        self.loss = progress.get("loss", self.loss)
        if "step" in progress:
            self.step, self.steps = progress["step"], progress["steps"]
            self._heard.append((self.step, now))

    @property
    def doing(self) -> str:
        """What it does, with the step and the loss while it trains."""
        if self.stage != "training" or self.steps is None:
            return self.stage
        loss = "" if self.loss is None else f"  loss {self.loss:.3g}"
        return f"{self.stage} {self.step}/{self.steps}{loss}"

    def left(self, now: float) -> float | None:
        """Return the seconds that its steps still take, by the latest ones; None: nobody knows.

        Evaluations between them count as theirs; one at the end does not count. The first steps,
        some of which are metered, tell little.
        """
        if not self._heard or self.steps is None or self.step == self.steps:
            return None
        (first, since), (last, until) = self._heard[0], self._heard[-1]
        if last - first < ENOUGH:
            return None
        pace = (until - since) / (last - first)
        return max(0.0, pace * (self.steps - self.step) - (now - until))


class Finished(NamedTuple):
    """A cell that has ended: its seconds, from its process's start, and its FLOPs if known."""

    seconds: float
    flops: float | None = None


def time_left(
    running: Collection[Running],
    finished: Sequence[Finished],
    waiting: Sequence[float | None],
    now: float,
) -> float | None:
    """Return the seconds that all cells still need, or None where nothing tells yet.

    Args:
        running: cells that run, side by side: so many will to the end.
        finished: cells that have ended.
        waiting: the FLOPs of those that wait, in their order; None: not known.
        now: the time.
    """
    known = [(cell, left) for cell in running if (left := cell.left(now)) is not None]
    seen = [*finished, *(Finished(now - cell.began + left, cell.flops) for cell, left in known)]
    if not seen:
        return None
    takes = _line(seen)
    free = [left for _, left in known]
    free += [max(0.0, takes(cell.flops) - (now - cell.began))
             for cell in running if cell.left(now) is None]  # fmt: skip
    heapify(free := free or [0.0])
    for flops in waiting:  # each to the place that is free first, as the queue has it
        heappush(free, heappop(free) + takes(flops))
    return max(free)


def _line(seen: Sequence[Finished]) -> Callable[[float | None], float]:
    """Return what a cell takes by its FLOPs: a start and a pace; without FLOPs the mean."""
    mean = fmean(one.seconds for one in seen)
    points = [(one.flops, one.seconds) for one in seen if one.flops is not None]
    if len({flops for flops, _ in points}) < 2:
        return lambda flops: mean
    middle = fmean(flops for flops, _ in points), fmean(seconds for _, seconds in points)
    spread = sum((flops - middle[0]) ** 2 for flops, _ in points)
    pace = sum((x - middle[0]) * (y - middle[1]) for x, y in points) / spread
    pace = min(max(0.0, pace), middle[1] / middle[0])  # neither it nor the start is below nothing
    start = middle[1] - pace * middle[0]
    return lambda flops: mean if flops is None else start + pace * flops
