"""What a method is told about a run before its data is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods import get_method
from methods.base import Plan

if TYPE_CHECKING:
    from harness.suite.suite import Cell
    from methods.base import Stage

EPOCH_STEPS = 1000  # where nothing says how many steps an epoch has


def nominal_plan(cell: Cell) -> Plan:
    """Return the cell's plan with an assumed length of an epoch."""
    settings = cell.train
    num_steps = settings.max_steps or settings.epochs * EPOCH_STEPS
    return Plan(
        num_steps=num_steps,
        steps_per_epoch=-(-num_steps // settings.epochs),
        num_epochs=settings.epochs,
        seed=cell.seed,
        train_pooler=settings.train_pooler,
        keep_best=cell.keep_best,
    )


def stages_of(cell: Cell) -> list[Stage]:
    """Return the stages of the cell's method.

    Raises:
        ValueError: method and settings do not go together.
    """
    return get_method(cell.method)(**cell.method_options).stages(nominal_plan(cell))
