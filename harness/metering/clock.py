"""Wall time of training steps, apart from evaluation, probes and metering."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

from harness.record import Time

# The first steps pay for lazy initialisation and cold caches.
WARM_UP_STEPS = 3


class Clock:
    """Collects seconds; `synchronize` is called at both ends of a step (a no-op on the CPU)."""

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self.synchronize = synchronize
        self._created = time.perf_counter()
        self._began = 0.0
        self.steps: list[float] = []
        self.phases: list[int] = []  # number of timed steps before each phase
        self.audited_steps = 0
        self._apart = {"evaluation": 0.0, "metering": 0.0, "probes": 0.0, "analyses": 0.0}

    def start_phase(self) -> None:
        """Note that a phase begins."""
        self.phases.append(len(self.steps))

    def phase_medians(self) -> list[float | None]:
        """Return the median step of every phase; None where all of its steps were audited."""
        ends = [*self.phases, len(self.steps)][1:]
        parts = [self.steps[start:end] for start, end in zip(self.phases, ends, strict=True)]
        return [median(part[WARM_UP_STEPS:] or part) if part else None for part in parts]

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run goes on from."""
        return {
            "elapsed": time.perf_counter() - self._created,
            "steps": self.steps,
            "phases": self.phases,
            "audited_steps": self.audited_steps,
            "apart": self._apart,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from another process's clock: what this one did so far is added to it."""
        self._created -= state["elapsed"]
        self.steps, self.phases = state["steps"], state["phases"]
        self.audited_steps = state["audited_steps"]
        for what, seconds in state["apart"].items():
            self._apart[what] += seconds

    def start_step(self) -> None:
        """Begin a timed step."""
        self.synchronize()
        self._began = time.perf_counter()

    def end_step(self) -> None:
        """End a timed step."""
        self.synchronize()
        self.steps.append(time.perf_counter() - self._began)

    @contextmanager
    def audited_step(self) -> Iterator[None]:
        """Time a step under the ledger: it counts as metering, not as a training step."""
        with self.apart("metering"):
            yield
        self.audited_steps += 1

    @contextmanager
    def apart(self, what: str) -> Iterator[None]:
        """Time something that is not training: evaluation, metering or probes."""
        self.synchronize()
        began = time.perf_counter()
        yield
        self.synchronize()
        self._apart[what] += time.perf_counter() - began

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
            evaluation=self._apart["evaluation"],
            metering=max(0.0, self._apart["metering"] - as_training),
            probes=self._apart["probes"],
            analyses=self._apart["analyses"],
            total=time.perf_counter() - self._created,
        )
