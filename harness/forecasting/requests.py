"""From a cell to the requests that forecast it, one per stage of its method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.shapes import BatchShape
from harness.simulation.request import Request
from harness.simulation.target import Target
from harness.suite.plan import nominal_plan, stages_of
from harness.tasks import get_task

if TYPE_CHECKING:
    from harness.suite.suite import Cell
    from harness.training.batches import TrainingOrder

# Steps that a run's data adds to the first ones: enough for the allocator to have seen variety.
NUM_STEPS = 6


@dataclass(frozen=True)
class StepShapes:
    """Shapes of the steps to forecast, and what was assumed for them."""

    steps: tuple[BatchShape, ...]
    assumptions: tuple[str, ...] = ()


def shapes_without_data(cell: Cell) -> StepShapes:
    """Return the shapes that the settings alone give.

    Where batches are padded to their longest example only, the maximum length stands in for it.
    """
    settings, shape = cell.train, cell.task.shape
    target_length = shape.target_length if shape is not None else None
    lengths = shape.lengths if shape is not None else ()
    steps = tuple(
        BatchShape(settings.batch_size, length, target_length)
        for length in lengths or (settings.max_length, settings.max_length)
    )
    if settings.padding == "max" or shape is not None:
        return StepShapes(steps)
    assumed = f"{cell.task_label}: batches padded to max_length {settings.max_length}"
    return StepShapes(steps, (assumed,))


def shapes_of_run(order: TrainingOrder, num_steps: int = NUM_STEPS) -> StepShapes:
    """Return the shapes of a run's first steps and of its largest, `num_steps` together.

    An allocator's replay wants to have seen variety; without one two steps do.
    """
    shapes = [order.largest(step) for epoch in range(order.num_epochs)
              for step in order.epoch(epoch)]  # fmt: skip
    return StepShapes((*shapes[: num_steps - 1], max(shapes, key=lambda shape: shape.tokens)))


def requests_of(cell: Cell, target: Target, shapes: StepShapes) -> list[Request]:
    """Return the cell's requests, in the order of its method's stages.

    Raises:
        UserError: the method and the settings do not go together.
    """
    plan, bare = nominal_plan(cell), cell.task.shape
    try:
        stages = stages_of(cell)
    except ValueError as error:
        raise UserError(f"{cell.path}: {error}") from None
    return [
        Request(
            model=cell.model,
            family=cell.family.name,
            num_labels=cell.num_labels,
            method=cell.method,
            method_options=cell.method_options,
            train=cell.train,
            steps=shapes.steps,
            mask=bare.mask if bare is not None else True,
            target=target,
            stage=stage,
            num_steps=plan.num_steps,
            num_epochs=plan.num_epochs,
        )
        for stage in stages
    ]


def data_shapes(cell: Cell) -> StepShapes:
    """Return the shapes that the cell's own data gives; run it in a fork.

    Data or tokenizer out of reach is no error here: the settings then bound the lengths.
    """
    from harness.training.batches import TrainingOrder
    from harness.training.setup import tokenizer_for

    try:
        data = get_task(cell.task.name).load(cell.data_request())
        tokenizer = tokenizer_for(cell, data.train)
    except UserError:
        return shapes_without_data(cell)
    encoded = cell.family.encode(tokenizer, data.train, cell.train.max_length)
    return shapes_of_run(TrainingOrder(encoded, cell.train, cell.seed))


def has_own_data(cell: Cell) -> bool:
    """Tell whether lengths vary and the data that says how is on this machine."""
    if cell.task.shape is not None or cell.train.padding != "longest":
        return False
    return get_task(cell.task.name).is_local(cell.data_request())
