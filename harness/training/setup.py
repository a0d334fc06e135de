"""From a cell to everything its training run needs: data, model, method, meter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness.errors import UserError
from harness.metering.clock import Clock
from harness.metering.flops import StepFlops, fit_step_flops
from harness.metering.meter import Meter
from harness.models.image_processor import load_image_processor
from harness.models.load import load_model
from harness.models.positions import positions_of, refuse_beyond
from harness.models.tokenizer import load_tokenizer, refuse_made_up, refuse_other_end
from harness.suite.plan import plan_of
from harness.tasks.families.decoding import refuse_wrapped
from harness.tasks.families.packing import refuse_leaks
from harness.training.attach import build_step
from harness.training.base import quantize_loaded
from harness.training.batches import Batch, Probe, TrainingOrder, encode_training, width_of
from harness.training.optim import make_schedule
from harness.training.precision import TORCH, set_matmul_mode, weight_dtype
from harness.training.ranks import ALONE, Ranks
from harness.training.replica import Distributed

if TYPE_CHECKING:
    from harness.analyses.base import Analysis
    from harness.shapes import BatchShape
    from harness.suite.cell import Cell
    from harness.suite.settings import TrainSettings
    from harness.tasks.base import Task, TaskData
    from harness.tasks.families.base import Encoded, Family
    from harness.tasks.generation import Generation
    from harness.training.checkpoint import Checkpoints
    from harness.training.state import TrainState
    from methods.base import Handle, Plan

Progress = Callable[[dict[str, Any]], None]
RANK_SEEDS = 1_000_003  # between the seeds of a run's ranks
TARGETS = (12, 20, 28)  # lengths of labels at which FLOPs are counted


@dataclass
class Setup:
    """All that one training run needs.

    Attributes:
        state: what the run changes: the method on its model, optimizer, step, results.
        plan: what the method was told of the run.
        preparer: what makes examples of rows, as `preparer_for` returns it.
        task: scores predictions.
        family: of the task.
        data: its rows, and what the protocol does with them.
        order: which examples every step sees.
        probe: what the method may look at between epochs.
        evaluations: examples by the evaluation's name.
        keep_best: the best epoch is reported, not the last one.
        flops: counts the FLOPs of a step as it is now.
        analyses: what else is asked of the run, by name.
        progress: told of what goes on.
        checkpoints: None: the run cannot be taken up.
        ranks: this process among those of the cell.
    """

    state: TrainState
    plan: Plan
    preparer: Any
    task: Task
    family: Family
    data: TaskData
    order: TrainingOrder
    probe: Probe
    evaluations: dict[str, Encoded]
    settings: TrainSettings
    device: torch.device
    keep_best: bool
    meter: Meter
    clock: Clock
    flops: Callable[[], StepFlops]
    analyses: Mapping[str, Analysis]
    progress: Progress
    checkpoints: Checkpoints | None = None
    ranks: Ranks = ALONE

    @property
    def model(self) -> nn.Module:
        """The model that trains."""
        return self.state.model

    @property
    def handle(self) -> Handle:
        """The method at work."""
        return self.state.handle

    def order_in(self, epoch: int) -> TrainingOrder:
        """Return the order with the examples as an epoch sees them."""
        seen = self.family.augmented(self.order.data, self.order.seed, epoch)
        return replace(self.order, data=seen)

    @property
    def full_shape(self) -> BatchShape:
        """The shape of one example as long as settings and model allow, whatever the rows."""
        longest = self.settings.max_length
        shape = self.order.data.shape([0], min(longest, positions_of(self.model) or longest))
        return shape._replace(target_length=shape.target_length and shape.length)

    def encoding_notes(self) -> list[str]:
        """Return what encoding did to the rows, in sentences, by the part of the data."""
        parts = {"training": self.order.data, **self.evaluations}
        return [f"{name}: {note}" for name, part in parts.items()
                for note in getattr(part, "notes", ())]  # fmt: skip

    def full_example(self) -> Batch:
        """Return such an example without its labels, on the device."""
        batch = self.family.inputs(self.order.data.sample(self.full_shape))
        return {name: value.to(self.device) for name, value in batch.items()}


def load_cell_data(cell: Cell) -> TaskData:
    """Read the rows of the cell's task.

    Raises:
        UserError: they cannot be had, or are not what the task expects.
    """
    return cell.configured_task.load(cell.data_request())


def preparer_for(cell: Cell, rows: Sequence[Any]) -> Any:
    """Return what makes examples of rows: the model's tokenizer, its image processor, or None.

    Raises:
        UserError: the model has none, or none of its own for a task that generates text.
    """
    if cell.generation is not None:
        refuse_made_up(cell.model, cell.task_label)
    match cell.family.preparer:
        case "tokenizer":
            return load_tokenizer(cell.model, cell.family.texts(rows))
        case "image processor":
            return load_image_processor(cell.model, TORCH[cell.train.rest])
        case None:
            return None


def load_cell_model(cell: Cell) -> nn.Module:
    """Load the cell's model, on the host.

    Raises:
        UserError: it cannot be had.
    """
    set_matmul_mode(cell.train.dtypes)
    model = load_model(
        cell.model,
        family=cell.family,
        num_labels=cell.num_labels,
        attention=cell.train.attention,
        dtype=weight_dtype(cell.train.dtypes),
        seed=cell.seed,
        use_cache=cell.train.holds_outputs,
    )
    quantize_loaded(model, cell.train)
    return model


def set_up(
    cell: Cell,
    data: TaskData,
    model: nn.Module,
    progress: Progress,
    checkpoints: Checkpoints | None = None,
    ranks: Ranks = ALONE,
) -> Setup:
    """Put the run of a cell together.

    Seeds are set twice, before the model is made and before the method is attached: head and
    adapter start the same whatever else drew random numbers in between. Ranks begin with the same
    weights; each draws its own dropout from then on.

    Raises:
        UserError: the method does not fit the model or the settings, or the model has no
            positions for inputs this long.
    """
    settings, family = cell.train, cell.family
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    preparer = preparer_for(cell, data.train)
    if cell.generation is not None:
        refuse_other_end(cell.model, preparer, model)
    encoded = encode_training(family, preparer, data.train, settings)
    evaluations = {
        name: family.encode_evaluation(preparer, rows, settings.max_length, cell.generation)
        for name, rows in data.evaluations.items()
    }
    order = TrainingOrder(encoded, settings, cell.seed, ranks.rank)
    progress({"doing": "attaching method"})
    plan = _plan(cell, order)
    torch.manual_seed(cell.seed)
    try:
        state = build_step(
            model, cell.configured_method, plan, settings, device, family,
            replica=Distributed if ranks.size > 1 else None,
        )  # fmt: skip
        if cell.generation is not None:
            refuse_wrapped(state.model)
        if settings.padding == "packed":
            refuse_leaks(state.model, device)
    except ValueError as error:
        raise UserError(f"{cell.path}: {error}") from None
    refuse_beyond(state.model, _longest(settings, family, [encoded], None), cell.model.name)
    asked = _longest(settings, family, evaluations.values(), cell.generation)
    refuse_beyond(state.model, asked, cell.model.name, cell.generation)
    state.schedule = make_schedule(state.optimizer, settings, order.num_steps)
    torch.manual_seed(cell.seed + ranks.rank * RANK_SEEDS)
    return Setup(
        state=state,
        plan=plan,
        preparer=preparer,
        task=cell.configured_task,
        family=family,
        data=data,
        order=order,
        probe=Probe(order, state.handle.num_probe, device),
        evaluations=evaluations,
        settings=settings,
        device=device,
        keep_best=cell.keep_best,
        meter=Meter(state.model, state.handle, device),
        clock=Clock(torch.cuda.synchronize if device.type == "cuda" else lambda: None),
        flops=lambda: _fit_flops(state.model, encoded, device),
        analyses=cell.configured_analyses,
        progress=progress,
        checkpoints=checkpoints,
        ranks=ranks,
    )


def _plan(cell: Cell, order: TrainingOrder) -> Plan:
    return plan_of(
        cell.train,
        num_steps=order.num_steps,
        steps_per_epoch=order.steps_per_epoch,
        num_epochs=order.num_epochs,
        uncut_epochs=cell.train.epochs,
        seed=cell.seed,
        keep_best=cell.keep_best,
    )


def _longest(
    settings: TrainSettings, family: Family, parts: Iterable[Encoded], generation: Generation | None
) -> int:
    """Return how many positions the longest example needs, with its target or its answer."""
    width = width_of(settings)
    shapes = [part.shape(range(len(part)), width) for part in parts if len(part)]
    return max((family.positions(shape, generation) for shape in shapes), default=0)


def _fit_flops(model: nn.Module, data: Encoded, device: torch.device) -> StepFlops:
    """Fit the FLOPs of a training step to a batch's shape, for the current phase."""

    def make(shape: BatchShape) -> Batch:
        return {name: value.to(device) for name, value in data.sample(shape).items()}

    has_targets = data.shape([0]).target_length is not None
    return fit_step_flops(model, make, targets=TARGETS if has_targets else None)
