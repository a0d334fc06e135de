"""From a cell to the requests that forecast it, one per stage of its method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.simulation.request import Request, StageRequest
from harness.simulation.target import Target
from harness.suite.plan import nominal_plan, stages_of
from harness.tasks import get_task

if TYPE_CHECKING:
    from harness.suite.suite import Cell
    from harness.training.batches import TrainingOrder

# Steps that a run's data adds to the first ones: enough for the allocator to have seen variety.
NUM_STEPS = 6

Steps = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Shapes:
    """Shapes of the steps to forecast, and what was assumed for them."""

    steps: tuple[tuple[int, int], ...]
    assumptions: tuple[str, ...] = ()


def shapes_without_data(cell: Cell) -> Shapes:
    """Return the shapes that the settings alone give.

    Where batches are padded to their longest example only, the maximum length stands in for it.
    """
    settings, shape = cell.train, cell.task.shape
    if shape is not None and shape.lengths:
        return Shapes(tuple((settings.batch_size, length) for length in shape.lengths))
    pair = (settings.batch_size, settings.max_length)
    if settings.padding == "max" or shape is not None:
        return Shapes((pair, pair))
    return Shapes(
        (pair, pair), (f"{cell.task_label}: batches padded to max_length {settings.max_length}",)
    )


def shapes_of_run(order: TrainingOrder, num_steps: int = NUM_STEPS) -> Shapes:
    """Return the shapes of a run's first steps and of its largest, `num_steps` together.

    An allocator's replay wants to have seen variety; without one two steps do.
    """
    seen = [
        max(map(order.shape, step), key=_tokens)
        for epoch in range(order.num_epochs)
        for step in order.epoch(epoch)
    ]
    return Shapes((*seen[: num_steps - 1], max(seen, key=_tokens)))


def _tokens(shape: tuple[int, int]) -> int:
    return shape[0] * shape[1]


def requests_of(cell: Cell, target: Target, shapes: Shapes) -> list[Request]:
    """Return the cell's requests, in the order of its method's stages.

    Raises:
        UserError: the method and the settings do not go together.
    """
    shape, settings = cell.task.shape, cell.train
    plan = nominal_plan(cell)
    try:
        stages = stages_of(cell)
    except ValueError as error:
        raise UserError(f"{cell.path}: {error}") from None
    if shape is not None:
        family, num_labels = shape.family, shape.num_labels
    else:
        task = get_task(cell.task.name)
        family = "regression" if task.regression else "classification"
        num_labels = task.num_labels
    return [
        Request(
            model=cell.model,
            family=family,
            num_labels=num_labels,
            method=cell.method,
            method_options=cell.method_options,
            train=settings,
            steps=shapes.steps,
            mask=shape.mask if shape is not None else True,
            target_length=shape.target_length if shape is not None else None,
            target=target,
            stage=StageRequest(name=stage.name, fraction=stage.fraction),
            num_steps=plan.num_steps,
            num_epochs=plan.num_epochs,
        )
        for stage in stages
    ]
