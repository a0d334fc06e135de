"""What a method is told: the run before it starts, and a state to put itself into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What a method may know about the run before it starts.

    Attributes:
        num_steps: optimizer steps of the run.
        steps_per_epoch: of a whole epoch.
        num_epochs: epochs that are begun.
        seed: of the run.
        uncut_epochs: epochs of the same run where nobody stops it early (`train.max_steps`).
    """

    num_steps: int
    steps_per_epoch: int
    num_epochs: int
    seed: int = 0
    uncut_epochs: int | None = None
    train_pooler: bool = False  # the same for every method inside one comparison
    keep_best: bool = False  # the run goes back to its best epoch's tensors at the end


@dataclass(frozen=True)
class Stage:
    """A structural state of a method that is worth a forecast, such as "50 % frozen"."""

    name: str
    fraction: float = 0.0


@dataclass(frozen=True)
class Course:
    """How a method's structural state goes on in a run, for the run's time.

    Attributes:
        fractions: those of `Stage`, each for an equal stretch of the run's steps.
        assumed: what was taken for something that the data decide, in words; empty: nothing.
    """

    fractions: tuple[float, ...] = (0.0,)
    assumed: str = ""


STRETCHES = 200  # of a run whose state goes on


def course_of(fraction: Callable[[float], float], assumed: str = "") -> Course:
    """Return the course of a fraction that is a function of the share of the run's steps done."""
    middles = ((i + 0.5) / STRETCHES for i in range(STRETCHES))
    return Course(tuple(fraction(done) for done in middles), assumed)
