"""Wall time of training steps, apart from evaluation, probes and metering."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles

from harness.record import Time

# The first steps pay for lazy initialisation and cold caches.
WARM_UP_STEPS = 3


class Clock:
    """Collects seconds; `synchronize` is called at both ends of a step (a no-op on the CPU)."""

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self._synchronize = synchronize
        self._created = time.perf_counter()
        self._began = 0.0
        self.steps: list[float] = []
        self.audited_steps = 0
        self.apart = {"evaluation": 0.0, "metering": 0.0, "probes": 0.0}

    def start_step(self) -> None:
        """Begin a timed step."""
        self._synchronize()
        self._began = time.perf_counter()

    def end_step(self) -> None:
        """End a timed step."""
        self._synchronize()
        self.steps.append(time.perf_counter() - self._began)

    @contextmanager
    def audited_step(self) -> Iterator[None]:
        """Time a step under the ledger: it counts as metering, not as a training step."""
        with self.beside("metering"):
            yield
        self.audited_steps += 1

    @contextmanager
    def beside(self, what: str) -> Iterator[None]:
        """Time something that is not training: evaluation, metering or probes."""
        self._synchronize()
        began = time.perf_counter()
        yield
        self._synchronize()
        self.apart[what] += time.perf_counter() - began

    def report(self) -> Time:
        """Return the figures; an audited step counts as a median step of training.

        The seconds that an audited step takes beyond the median are metering.
        """
        steady = self.steps[WARM_UP_STEPS:] or self.steps
        typical = median(steady) if steady else 0.0
        p90 = quantiles(steady, n=10)[-1] if len(steady) > 1 else typical
        as_training = self.audited_steps * typical
        return Time(
            step_median=typical,
            step_p90=p90,
            training=sum(self.steps) + as_training,
            evaluation=self.apart["evaluation"],
            metering=max(0.0, self.apart["metering"] - as_training),
            probes=self.apart["probes"],
            total=time.perf_counter() - self._created,
        )
