"""SAFE's rules: when the warm-up ends, where the threshold is, and which units are below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from methods.common.schedules import cubic, done

EPSILON = 1e-12  # stands in for an importance of 0 under a relative change


@dataclass
class Rules:
    """Importances of units over epochs, which count from 1, and what follows from them.

    Attributes:
        num_epochs: T.
        final: t_f, the last epochs.
        tau: the last threshold; None until `quantile` gives it at the warm-up's end.
        quantile: of the importances at t_w, that is the last threshold.
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
            changes = [
                abs(value - before[unit]) / max(abs(before[unit]), EPSILON)
                for unit, value in importance.items()
            ]
            self._calm = self._calm + 1 if max(changes) < self.tolerance else 0
        if self._calm >= self.patience or epoch == self.max_warmup:
            self.warm_up_ended = epoch
            if self.quantile is not None:
                self.tau = float(np.quantile(list(importance.values()), self.quantile))

    def threshold(self, epoch: int) -> float:
        """Return tau_t for t >= t_w: from 0 at t_w to tau at T - t_f, fast at first.

        A warm-up that ends at T - t_f or later leaves no ramp: the threshold jumps.
        """
        assert self.warm_up_ended is not None
        assert self.tau is not None
        if self.last <= self.warm_up_ended:
            return self.tau if epoch > self.warm_up_ended else 0.0
        return self.tau * cubic(done(epoch, self.warm_up_ended, self.last))

    def chosen(self, epoch: int, live: Sequence[int]) -> list[int]:
        """Return which of the live units (lowest first) freeze after `epoch`, observed before.

        Plainly, those with an importance below the threshold. As a prefix: the lowest ones, at
        most as many, and with at most that many thresholds of importance in sum, which is what
        the plain choice is sure of.
        """
        if self.warm_up_ended is None:
            return []
        threshold = self.thresholds[epoch] = self.threshold(epoch)
        values = self.importance[epoch]
        below = sorted((unit for unit in live if values[unit] < threshold), key=values.__getitem__)
        below = below[: max(0, self.max_units - self._num_frozen(live))]
        if not self.prefix:
            return sorted(below)
        lowest: list[int] = []
        for unit in live[: len(below)]:
            if sum(values[i] for i in (*lowest, unit)) > len(below) * threshold:
                break
            lowest.append(unit)
        return lowest

    def _num_frozen(self, live: Sequence[int]) -> int:
        first = next(iter(self.importance.values()))
        return len(first) - len(live)

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


def _keys_as_text(table: Mapping[int, Mapping[int, float]]) -> dict[str, dict[str, float]]:
    return {str(e): {str(unit): v for unit, v in row.items()} for e, row in table.items()}
