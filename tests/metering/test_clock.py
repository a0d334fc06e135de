"""What counts as training time."""

from __future__ import annotations

import pytest

from harness.metering import clock as module
from harness.metering.clock import Clock


def test_audits_and_evaluation_are_beside_training(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    clock = Clock(lambda: None)
    for seconds in (9.0, 1.0, 1.0, 2.0, 2.0, 2.0):  # the first steps are warm-up
        clock.start_step()
        now[0] += seconds
        clock.end_step()
    with clock.audited_step():
        now[0] += 5.0
    with clock.apart("evaluation"):
        now[0] += 7.0
    report = clock.report()
    assert report.step_median == 2.0
    assert report.training == 17.0 + 2.0, "an audited step counts as a median one"
    assert report.metering == 3.0
    assert report.evaluation == 7.0
    assert report.total == 29.0
