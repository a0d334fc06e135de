"""When LoRAPrune masks groups, and which share of them."""

from __future__ import annotations

from dataclasses import dataclass

from methods.common.schedules import cubic, done


@dataclass(frozen=True)
class PruningSchedule:
    """When groups are masked, and which share of them.

    Attributes:
        num_steps: T, of the run.
        initial: share before the ramp.
        final: share behind it.
        warm_up: of the run, before the ramp.
        cool_down: of the run, behind it.
        interval: steps between selections.
    """

    num_steps: int
    initial: float
    final: float
    warm_up: float
    cool_down: float
    interval: int

    def ratio(self, step: float) -> float:
        """Return the share after `step` steps: fast at first, as 1 - (1 - x)^3."""
        end = self.num_steps - self.cool_down * self.num_steps
        grown = cubic(done(step, self.warm_up * self.num_steps, end))
        return self.initial + (self.final - self.initial) * grown

    def selects(self, step: int) -> bool:
        """Tell whether groups are masked in `step` (0-based): only where the share is between.

        As in the released code, the final share itself is never asked for.
        """
        return step % self.interval == 0 and self.initial < self.ratio(step) < self.final

    def last(self) -> int | None:
        """Return the last step in which groups are masked, if there is one."""
        return max(filter(self.selects, range(0, self.num_steps, self.interval)), default=None)
