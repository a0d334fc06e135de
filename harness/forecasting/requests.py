"""From a cell to the requests that forecast it, one per stage of its method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.forecasting.run_sizes import (
    RunSizes,
    Sizes,
    evaluated_sizes,
    sizes_of,
    times_evaluated,
)
from harness.shapes import BatchShape
from harness.simulation.request import Request
from harness.simulation.target import Target
from harness.suite.plan import nominal_plan, stages_of

if TYPE_CHECKING:
    from harness.suite.cell import Cell
    from harness.suite.settings import TrainSettings
    from harness.tasks.families.base import Encoded
    from harness.training.batches import Probe, TrainingOrder

# Steps that a run's data adds to the first ones: enough for the allocator to have seen variety.
NUM_STEPS = 6
EXAMPLE = 512  # tokens of an example in a pack, where no data says it; attention's rows need it


@dataclass(frozen=True)
class StepShapes:
    """Shapes to forecast, and what was assumed for them.

    Attributes:
        steps: of training.
        evaluation: of the largest batch that is evaluated, or answered; None: nothing is known.
        probe: of the largest batch of a probe, for methods that have one.
        sizes: of all that the run does, for its time; None: as `steps` are.
    """

    steps: tuple[BatchShape, ...]
    evaluation: BatchShape | None = None
    probe: BatchShape | None = None
    assumptions: tuple[str, ...] = ()
    sizes: RunSizes | None = None

    def run_sizes(self, settings: TrainSettings) -> RunSizes:
        """Return what the run does; without data its steps are taken to be those given, again."""
        if self.sizes is not None:
            return self.sizes
        tokens = [settings.accumulate * shape.tokens for shape in self.steps]
        steps = Sizes(sizes_of(tokens).spread, settings.max_steps)
        return RunSizes(steps, epochs=settings.epochs)


def shapes_without_data(cell: Cell) -> StepShapes:
    """Return the shapes that the settings alone give.

    Where batches are padded to their longest example only, the maximum length stands in for it.
    """
    if cell.family.preparer == "image processor":
        return _of_images(cell)
    settings, shape = cell.train, cell.task.shape
    target_length = shape.target_length if shape is not None else settings.max_target_length
    lengths = shape.lengths if shape is not None else ()
    fixed, packed = settings.padding == "max", settings.padding == "packed"

    def pack(packs: int, length: int) -> BatchShape:
        several = packs * _several(length)
        return BatchShape(packs, length, padded=False, packed=several)

    def batch(examples: int, length: int) -> BatchShape:
        # A batch of one is as long as its example, unless its length is fixed.
        return BatchShape(examples, length, target_length, padded=fixed or examples > 1)

    steps = tuple(
        (pack if packed else batch)(settings.batch_size, length)
        for length in lengths or (settings.max_length, settings.max_length)
    )
    longest = batch(settings.evaluation_batch, max(step.length for step in steps))
    # A bare shape does not say how a model's answers would be generated.
    untold = shape is not None and cell.family.evaluation == "generation"
    evaluated = not untold and (shape is None or shape.evaluation)
    assumptions = []
    if packed:
        assumptions.append(
            f"packs of {settings.max_length} tokens hold examples of "
            f"{settings.max_length // _several(settings.max_length)}"
        )
    elif not fixed and shape is None:
        assumptions.append(f"batches padded to max_length {settings.max_length}")
    if untold:
        assumptions.append("evaluation by generation is left out")
    told = tuple(f"{cell.task_label}: {text}" for text in [*assumptions, *_beside(cell)])
    return StepShapes(steps, longest if evaluated else None, longest, told)


def _several(length: int) -> int:
    """Return how many examples a pack of unknown ones is taken to hold."""
    return max(2, length // EXAMPLE)


def _of_images(cell: Cell) -> StepShapes:
    """Return the shapes of batches of images, of which none is longer than another."""
    sizes = (cell.train.batch_size, cell.train.evaluation_batch)
    step, evaluation = (BatchShape(size, 1, padded=False) for size in sizes)
    return StepShapes((step, step), evaluation, evaluation, tuple(_beside(cell)))


def shapes_of_run(
    order: TrainingOrder,
    evaluations: Mapping[str, Encoded],
    probe: Probe,
    num_steps: int = NUM_STEPS,
    times: Mapping[str, int] | None = None,
) -> StepShapes:
    """Return the shapes of a run's first steps, of its largest and of what goes on beside them.

    `times` says how often each evaluation is made; None: once.

    An allocator's replay wants to have seen variety: `num_steps` in all; without one two do.
    Where attention may do without a mask, a batch without padding needs less than one of fewer
    tokens with it, so of both kinds the largest is there.
    """
    from harness.training.batches import largest_evaluation

    passes = [[order.shape(batch) for batch in order.own(step)] for epoch in range(order.num_epochs)
              for step in order.epoch(epoch)]  # fmt: skip
    shapes = [max(step, key=lambda shape: shape.tokens) for step in passes]
    kinds = [[shape for shape in shapes if shape.padded == padded] for padded in (False, True)]
    largest = [max(kind, key=lambda shape: shape.tokens) for kind in kinds if kind]
    known = {name: data for name, data in evaluations.items() if len(data)}
    evaluated = [largest_evaluation(data, order.settings, order.rank)[1] for data in known.values()]
    sizes = RunSizes(
        steps=sizes_of(sum(shape.tokens for shape in step) for step in passes),
        evaluations=evaluated_sizes(known, order.settings, times or {}, order.rank),
        epochs=order.num_epochs,
        rows=len(order.data),
        steps_per_epoch=order.steps_per_epoch,
    )
    return StepShapes(
        (*shapes[: num_steps - 1], *sorted(largest, key=lambda shape: shape.tokens)),
        max(evaluated, key=lambda shape: shape.tokens, default=None),
        order.shape(probe.batches()[0]) if probe.count else None,
        sizes=sizes,
    )


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
            evaluation=shapes.evaluation,
            probe=shapes.probe,
            mask=bare.mask if bare is not None else True,
            generation=cell.generation,
            target=target,
            stage=stage,
            num_steps=plan.num_steps,
            num_epochs=plan.num_epochs,
        )
        for stage in stages
    ]


def data_shapes(cell: Cell) -> StepShapes:
    """Return the shapes that the cell's own data gives; run it in a fork.

    Raises:
        UserError: data or tokenizer cannot be had, so nobody knows how long the batches are.
    """
    import torch

    from harness.training.batches import Probe, TrainingOrder, encode_training
    from harness.training.setup import preparer_for

    try:
        data = cell.configured_task.load(cell.data_request())
        names = data.scored(cell.scores_epochs)
        preparer = preparer_for(cell, data.train)
        family, longest = cell.family, cell.train.max_length
        encoded = encode_training(family, preparer, data.train, cell.train)
        evaluations = {
            name: family.encode_evaluation(
                preparer, data.evaluations[name], longest, cell.generation
            )
            for name in names
        }
    except UserError as error:
        raise UserError(
            f"{cell.path}: {error}\n       (train.padding=max forecasts batches of max_length, "
            "for which no data is read)"
        ) from None

    def of(rank: int) -> StepShapes:
        order = TrainingOrder(encoded, cell.train, cell.seed, rank)
        # How many examples a method looks at is known when it is attached; here they are all.
        every_example = Probe(order, len(encoded), torch.device("cpu"))
        times = times_evaluated(data, cell.scores_epochs, order.num_epochs)
        return shapes_of_run(order, evaluations, every_example, times=times)

    return _fullest(cell, [of(rank) for rank in range(cell.train.devices)])


def _fullest(cell: Cell, ranks: Sequence[StepShapes]) -> StepShapes:
    """Return the shapes of the rank with the largest step, which needs the most."""
    most = [max(shape.tokens for shape in shapes.steps) for shapes in ranks]
    rank, shapes = most.index(max(most)), ranks[most.index(max(most))]
    if len(ranks) == 1:
        return shapes
    told = f"{cell.task_label}: batches of rank {rank} of {len(ranks)}, which has the largest"
    return replace(shapes, assumptions=(*shapes.assumptions, told, *_beside(cell)))


def _beside(cell: Cell) -> list[str]:
    """Say what several devices hold that no forecast knows."""
    devices = cell.train.devices
    return [f"{devices} devices: what NCCL holds on each is not in it"] if devices > 1 else []


def has_own_data(cell: Cell) -> bool:
    """Tell whether lengths vary and the data that says how is on this machine."""
    one_size = cell.train.padding != "longest" or cell.family.preparer == "image processor"
    if cell.task.shape is not None or one_size:
        return False
    return cell.configured_task.is_local(cell.data_request())
