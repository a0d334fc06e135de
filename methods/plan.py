"""What a method is told: the run before it starts, and a state to put itself into."""

from __future__ import annotations

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
