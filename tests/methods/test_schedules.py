"""Stretches of a run, whole and cut short."""

from __future__ import annotations

import pytest

from methods.base import Plan
from methods.common.schedules import Span

WHOLE = Plan(num_steps=1000, steps_per_epoch=50, num_epochs=20, uncut_epochs=20)


@pytest.mark.parametrize(("span", "steps"), [(Span(epochs=1), 50), (Span(fraction=0.7), 700)])
def test_a_length_in_steps(span: Span, steps: int) -> None:
    assert span.steps(WHOLE) == steps


def test_a_run_cut_short_has_the_same_schedule_in_little() -> None:
    """With train.max_steps 40 of 1000, one epoch of 20 is 2 steps: else nothing would happen."""
    cut = Plan(num_steps=40, steps_per_epoch=50, num_epochs=1, uncut_epochs=20)
    assert Span(epochs=1).steps(cut) == 2
    assert Span(epochs=30).steps(cut) == 40
    assert Span(fraction=0.5).steps(cut) == 20
