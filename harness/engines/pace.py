"""How long a cell and a suite still need, from what was heard of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

RECENT = 50  # reports that the pace is taken from
ENOUGH = 5  # steps among them, so that they say anything


@dataclass
class Running:
    """A cell that runs; all times are of one clock, in seconds.

    Attributes:
        began: when its process started.
        stage: what it does, such as `loading model`; `stage_began` is since when.
        step, steps: optimizer steps done and of the whole run, once that is known.
    """

    began: float
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


def time_left(
    running: Collection[Running], finished: Sequence[float], total: int, now: float
) -> float | None:
    """Return the seconds that all cells still need, or None where nothing tells yet.

    Args:
        running: cells that run, side by side.
        finished: seconds of each cell that has ended.
        total: number of cells.
        now: the time.
    """
    known = [(cell, left) for cell in running if (left := cell.left(now)) is not None]
    whole = [*finished, *(now - cell.began + left for cell, left in known)]
    if not whole:
        return None
    each = fmean(whole)
    waiting = total - len(finished) - len(running)
    lefts = [max(0.0, each - (now - cell.began)) for cell in running if cell.left(now) is None]
    lefts += [left for _, left in known]
    return (sum(lefts) + each * max(0, waiting)) / max(1, len(running))
