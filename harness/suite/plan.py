"""What a method is told about a run, before its data is known and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from methods.base import Plan

if TYPE_CHECKING:
    from harness.suite.cell import Cell
    from harness.suite.settings import TrainSettings
    from methods.base import Stage

EPOCH_STEPS = 1000  # where nothing says how many steps an epoch has


def plan_of(
    settings: TrainSettings,
    *,
    num_steps: int,
    num_epochs: int,
    steps_per_epoch: int | None = None,
    uncut_epochs: int | None = None,
    seed: int = 0,
    keep_best: bool = False,
) -> Plan:
    """Return the plan of a run of this length; without a length of epochs all have the same."""
    return Plan(
        num_steps=num_steps,
        steps_per_epoch=steps_per_epoch or -(-num_steps // num_epochs),
        num_epochs=num_epochs,
        uncut_epochs=uncut_epochs,
        seed=seed,
        train_pooler=settings.train_pooler,
        keep_best=keep_best,
    )


def nominal_plan(cell: Cell) -> Plan:
    """Return the cell's plan with an assumed length of an epoch."""
    settings = cell.train
    return plan_of(
        settings,
        num_steps=settings.max_steps or settings.epochs * EPOCH_STEPS,
        num_epochs=settings.epochs,
        seed=cell.seed,
        keep_best=cell.keep_best,
    )


def stages_of(cell: Cell) -> list[Stage]:
    """Return the stages of the cell's method.

    Raises:
        ValueError: method and settings do not go together.
    """
    return cell.configured_method.stages(nominal_plan(cell))
