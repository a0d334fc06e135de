"""Phases of a run on CUDA, on a stub of its meter."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from harness.metering.cuda import CudaReading
from harness.metering.meter import Meter
from harness.shapes import BatchShape
from methods import Handle


class StubCuda:
    """Reads what it is told."""

    now = CudaReading()

    def start_phase(self) -> None: ...

    def read(self) -> CudaReading:
        return self.now

    def other_processes(self) -> list[dict[str, Any]]:
        return []


def test_the_run_s_last_phase_knows_nothing_of_what_came_after_it() -> None:
    model = nn.Linear(2, 2)
    meter = Meter(model, Handle(model, {}), torch.device("cpu"))
    meter.cuda = cuda = StubCuda()  # type: ignore[assignment]
    meter.start_phase(0, [(BatchShape(1, 1), None)])
    cuda.now = CudaReading(900, 1000, None, 800)
    meter.start_phase(5, [(BatchShape(1, 1), None)])
    cuda.now = CudaReading(500, 1000, None, 450)
    after = meter.take_phase(None)
    cuda.now = CudaReading(10_000, 10_000, None, 10_000)
    (phase,) = meter.report([None]).phases
    assert (phase.peak_allocated, phase.unsplit, phase.unexplained) == (900, 100, 800)
    assert (after.peak_allocated, after.unsplit) == (500, 50)


def test_a_phase_that_ends_early_has_had_its_longest_step_audited() -> None:
    model = nn.Linear(2, 2)
    meter = Meter(model, Handle(model, {}, []), torch.device("cpu"))
    known = [BatchShape(1, length) for length in (9, 4, 6, 5, 8)]
    meter.start_phase(0, [(shape, None) for shape in known])
    assert not meter.wants(0, None, known[:1]), "the optimizer has no state yet"
    assert meter.wants(1, None, [known[1]])
    assert meter.wants(2, None, [known[2]]), "nothing of the phase is longer, if it ends before 4"
    assert not meter.wants(3, None, [known[3]])
    assert meter.wants(4, None, [known[4]]), "foreseen"
    meter.start_phase(5, [(BatchShape(1, 3), None)])
    assert meter.wants(5, None, [BatchShape(1, 3)])
