"""SAFE's rules: when the warm-up ends, where the threshold is, and which units are below it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from methods.common.schedules import cubic, done

EPSILON = 1e-12  # stands in for an importance of 0 under a relative change


@dataclass
class Rules:
    """Importances of units over epochs, which count from 1, and what follows from them.

    Attributes:
        num_epochs: T.
        final: t_f, the last epochs.
        tau: the last threshold; with `quantile` what it was at the last choice, None before.
        quantile: the share of the units that is frozen at T - t_f. The threshold is then taken
            anew from the importances of every epoch: they grow, so that one of t_w, kept to the
            end, would freeze fewer.
        tolerance, patience, max_warmup: when the warm-up ends.
        max_units: that may freeze at most.
        in_final: freeze in the last epochs, too.
        prefix: freeze only a prefix of the live units.
        importance: per observed epoch, of every unit that was live.
        warm_up_ended: t_w, or None until then.
        thresholds: tau_t of every epoch since.
    """

    num_epochs: int
    final: int
    tau: float | None
    quantile: float | None
    tolerance: float
    patience: int
    max_warmup: int | None
    max_units: int
    in_final: bool
    prefix: bool
    importance: dict[int, dict[int, float]] = field(default_factory=dict)
    warm_up_ended: int | None = None
    thresholds: dict[int, float] = field(default_factory=dict)
    _calm: int = 0  # comparisons in a row within the tolerance

    @property
    def last(self) -> int:
        """The last epoch after which units freeze, T - t_f."""
        return self.num_epochs - self.final

    def look_after(self, epoch: int) -> bool:
        """Tell whether importances matter after `epoch`: something may freeze then or later."""
        return epoch < self.num_epochs and (epoch <= self.last or self.in_final)

    def observe(self, epoch: int, importance: Mapping[int, float]) -> None:
        """Note the importances after an epoch; the warm-up may end with them."""
        before = self.importance.get(epoch - 1)
        self.importance[epoch] = dict(importance)
        if self.warm_up_ended is not None:
            return
        if before:
            changes = _relative_changes(before, importance)
            self._calm = self._calm + 1 if max(changes) < self.tolerance else 0
        if self._calm >= self.patience or epoch == self.max_warmup:
            self.warm_up_ended = epoch

    def ramp(self, epoch: int) -> float:
        """Return tau_t / tau for t >= t_w: from 0 at t_w to 1 at T - t_f, fast at first.

        A warm-up that ends at T - t_f or later leaves no ramp: the threshold jumps.
        """
        assert self.warm_up_ended is not None
        if self.last <= self.warm_up_ended:
            return 1.0 if epoch > self.warm_up_ended else 0.0
        return cubic(done(epoch, self.warm_up_ended, self.last))

    def chosen(self, epoch: int, live: Sequence[int]) -> list[int]:
        """Return which of the live units (lowest first) freeze after `epoch`, observed before.

        Plainly, those with an importance below the threshold. As a prefix: the lowest ones, at
        most as many, and with at most that many thresholds of importance in sum, which is what
        the plain choice is sure of.
        """
        if self.warm_up_ended is None:
            return []
        values = {unit: self.importance[epoch][unit] for unit in live}
        room = max(0, self.promised - (self.num_units - len(live)))
        if self.quantile is not None:
            self.tau = _above_the_lowest(room, values.values())
        assert self.tau is not None
        threshold = self.thresholds[epoch] = self.tau * self.ramp(epoch)
        below = sorted((unit for unit in live if values[unit] < threshold), key=values.__getitem__)
        below = below[:room]
        if not self.prefix:
            return sorted(below)
        lowest: list[int] = []
        for unit in live[: len(below)]:
            if sum(values[i] for i in (*lowest, unit)) > len(below) * threshold:
                break
            lowest.append(unit)
        return lowest

    @property
    def num_units(self) -> int:
        """Units that trained at first; 0 before any was observed."""
        return len(next(iter(self.importance.values()), ()))

    @property
    def promised(self) -> int:
        """Units that shall be frozen at the end, or with a plain threshold: may be."""
        if self.quantile is None:
            return self.max_units
        return min(self.max_units, round(self.quantile * self.num_units))

    def shortfall(self, num_frozen: int) -> str | None:
        """Say that fewer units froze than were promised: a share, or with a plain tau any."""
        if self.quantile is None:
            wanted, aim = min(1, self.promised) if self.tau else 0, ""
        else:
            wanted = self.promised
            aim = f", not the {wanted} that quantile {self.quantile:g} promises"
        if num_frozen >= wanted:
            return None
        return f"SAFE froze {num_frozen or 'none'} of {self.num_units} units{aim}: {self._reason()}"

    def _reason(self) -> str:
        if self.warm_up_ended is not None and self.warm_up_ended >= self.last and not self.in_final:
            return (
                f"the warm-up ended with epoch {self.warm_up_ended}, and none behind epoch "
                f"{self.last} freezes; set max_warmup, or a shorter t_f"
            )
        if self.warm_up_ended is not None:
            bound = " from below that `prefix` may take" if self.prefix else ""
            return f"importances were not below the threshold{bound}"
        epochs = sorted(self.importance)
        seen = ""
        if len(epochs) > 1:
            before, after = (self.importance[epoch] for epoch in epochs[-2:])
            changes = _relative_changes(before, after)
            seen = (
                f" (in epoch {epochs[-1]} importances still changed by {100 * min(changes):.0f} to "
                f"{100 * max(changes):.0f} %, and all must by less than {100 * self.tolerance:g} %)"
            )
        return (
            f"the warm-up did not end by epoch {max(epochs, default=0)}, the last one that "
            f"freezes{seen}; set max_warmup, or a shorter t_f"
        )

    def report(self) -> dict[str, Any]:
        """Return importances per unit and epoch, t_w, tau and tau_t."""
        return {
            "importance": _keys_as_text(self.importance),
            "warm_up_ended": self.warm_up_ended,
            "tau": self.tau,
            "thresholds": {str(epoch): value for epoch, value in self.thresholds.items()},
        }

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {**self.report(), "calm": self._calm}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore it."""
        self.importance = {
            int(epoch): {int(unit): value for unit, value in values.items()}
            for epoch, values in state["importance"].items()
        }
        self.warm_up_ended, self.tau = state["warm_up_ended"], state["tau"]
        self.thresholds = {int(epoch): value for epoch, value in state["thresholds"].items()}
        self._calm = state["calm"]


def _relative_changes(before: Mapping[int, float], after: Mapping[int, float]) -> list[float]:
    return [
        abs(value - before[unit]) / max(abs(before[unit]), EPSILON) for unit, value in after.items()
    ]


def _above_the_lowest(count: int, values: Iterable[float]) -> float:
    """Return the lowest threshold that is above `count` of the values, if no two are equal."""
    ranked = sorted(values)
    return ranked[count] if count < len(ranked) else math.nextafter(ranked[-1], math.inf)


def _keys_as_text(table: Mapping[int, Mapping[int, float]]) -> dict[str, dict[str, float]]:
    return {str(e): {str(unit): v for unit, v in row.items()} for e, row in table.items()}
