"""Means over steps weigh what each step had, so that phases with short batches are no saving."""

from __future__ import annotations

from pathlib import Path

from cells import cell_of, report, run

from harness.metering.step_peaks import StepPeaks


def test_a_step_lies_on_the_line_of_its_kind() -> None:
    peaks = StepPeaks()
    for tokens, peak in ((10, 200), (30, 400)):
        peaks.audited("plain", tokens, peak)
    for tokens in (10, 20, 30):
        peaks.ran("plain", tokens)
    assert peaks.below() == 100
    peaks.audited("half", 30, 250)  # no line: it has what its one audit says
    peaks.ran("half", 10)
    assert peaks.below() == 400 - (3 * 300 + 250) / 4


def test_one_length_is_one_peak() -> None:
    peaks = StepPeaks()
    assert peaks.below() == 0
    peaks.audited(None, 10, 200)
    peaks.ran(None, 10)
    assert peaks.below() == 0


def test_a_run_has_the_mean_of_its_steps(tmp_path: Path) -> None:
    fixed = report(run(cell_of(tmp_path, "lora", "train.padding=max")))
    assert fixed.peak_step_mean == fixed.peak_training
    varied = report(run(cell_of(tmp_path, "lora", "train.batch_size=4")))
    assert 0.5 * varied.peak_training < varied.peak_step_mean < varied.peak_training
    assert varied.phases[0].peak_mean == varied.peak_step_mean


def test_freezing_is_compared_at_the_lengths_that_there_are(tmp_path: Path) -> None:
    """Phases that freeze nothing have the mean of their common line, however they are cut."""
    method = "{safe: {over: lora, tau: 0.0, max_warmup: 1, t_f: {epochs: 1}, probe: 16}}"
    settings = ("train.batch_size=4", "train.epochs=4")
    plain = report(run(cell_of(tmp_path, "lora", *settings)))
    safe = report(run(cell_of(tmp_path, method, *settings)))
    assert abs(safe.peak_step_mean / plain.peak_step_mean - 1) < 0.02
