"""Forecasts of cells on cards: ask once per distinct step, judge once per card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.forecasting.forecaster import Answer, Forecaster
from harness.forecasting.requests import Shapes, requests_of, shapes_without_data
from harness.forecasting.result import Forecast, Outcome, Verdict
from harness.gpus import Card
from harness.simulation.request import Request
from harness.simulation.target import Target

if TYPE_CHECKING:
    from harness.suite.suite import Cell

# Below this share of the card a fit is called tight: drivers, desktops and contexts differ.
TIGHT = 0.03
# Capabilities that choose the same kernels with the same scratch memory as a lower one.
_ALIKE = {(7, 5): (7, 0), (8, 9): (8, 6)}


def target_of(card: Card) -> Target:
    """Return what the card's kernels depend on."""
    return canonical(card.capability)


def canonical(capability: tuple[int, int]) -> Target:
    """Return one target for all capabilities that choose alike, so that they share forecasts."""
    return Target(kind="cuda", capability=_ALIKE.get(capability, capability))


def forecast_cells(
    forecaster: Forecaster,
    cells: Sequence[Cell],
    cards: Sequence[Card],
    native: bool = False,
) -> list[Forecast]:
    """Forecast every cell on every card, one entry per stage; errors are entries, too.

    `native` runs the step on fake tensors of this machine's GPU in place of a stand-in.
    """
    shapes = forecaster.shapes(cells)
    asked: list[tuple[Cell, Card, Request, Shapes]] = []
    for cell, shape in zip(cells, shapes, strict=True):
        for card in cards:
            for request in requests_of(cell, target_of(card), shape):
                if native:
                    request = request.model_copy(update={"stand_in": "cuda"})
                asked.append((cell, card, request, shape))
    answers = forecaster.ask([(request, (card.capacity,)) for _, card, request, _ in asked])
    return [
        judge(cell, card, request, shape.assumptions, answer)
        for (cell, card, request, shape), answer in zip(asked, answers, strict=True)
    ]


def judge(
    cell: Cell, card: Card, request: Request, assumptions: tuple[str, ...], answer: Answer
) -> Forecast:
    """Return the entry of one cell and stage on one card."""
    from harness.env import MEMORY_PACKAGES, package_versions

    versions = package_versions()
    train = cell.train
    entry = Forecast(
        cell=cell.path,
        method=cell.method_label,
        model=cell.model.name,
        task=cell.task_label,
        gpu=card.name,
        stage=request.stage.name,
        steps=list(request.steps),
        assumptions=list(assumptions),
        choices={
            "capability": f"{card.capability[0]}.{card.capability[1]}",
            "precision": train.precision,
            "attention": train.attention,
            "optimizer": f"{train.optimizer}, foreach",
            "gradient_checkpointing": str(train.gradient_checkpointing).lower(),
            "accumulate": str(train.accumulate),
            "mask": str(request.mask).lower(),
            **{name: versions[name] for name in MEMORY_PACKAGES},
        },
    )
    if not isinstance(answer, Outcome):
        entry.error = str(answer)
        return entry
    device = answer.peak_reserved + card.context
    return entry.model_copy(
        update={
            **{name: getattr(answer, name) for name in _SAME},
            "device": device,
            "usable": card.usable,
            "margin": card.usable - device,
            "fits": verdict(answer, card),
            "adapter_trainable": answer.parameters["adapter_trainable"],
            "head_trainable": answer.parameters["head_trainable"],
            "adapter_stored": answer.parameters["adapter_stored"],
            "total_parameters": answer.parameters["total"],
        }
    )


_SAME = (
    "peak_allocated", "peak_reserved", "peak_expandable", "at_rest", "split", "phases", "modules",
    "saved_activations", "flops_forward", "flops_step", "seconds",
)  # fmt: skip


def verdict(outcome: Outcome, card: Card) -> Verdict:
    """Say whether the cell fits.

    It fits with room to spare; or it is tight: less than 3 % is left, or only because the
    allocator gives back what it caches; or it does not.
    """
    if outcome.peak_reserved <= card.capacity:
        room = card.capacity - outcome.peak_reserved
        return "fits" if room >= TIGHT * card.usable else "tight"
    return "tight" if outcome.passes.get(card.capacity) else "does not fit"


def data_shapes(cell: Cell) -> Shapes:
    """Return the shapes that the cell's own data gives; run it in a fork.

    Data or tokenizer out of reach is no error here: the settings then bound the lengths.
    """
    from harness.forecasting.requests import shapes_of_run
    from harness.tasks import get_task
    from harness.training.batches import TrainingOrder, encode
    from harness.training.setup import load_tokenizer

    task, settings = get_task(cell.task.name), cell.train
    try:
        data = task.load(cell.data_request())
        tokenizer = load_tokenizer(cell, data)
    except UserError:
        return shapes_without_data(cell)
    encoded = encode(tokenizer, data.train, settings.max_length, task.regression)
    return shapes_of_run(TrainingOrder(encoded, settings, cell.seed))


def has_own_data(cell: Cell) -> bool:
    """Tell whether lengths vary and the data that says how is on this machine."""
    local = cell.data_root or cell.task.folder or cell.task.name == "acceptability"
    return bool(local) and cell.task.shape is None and cell.train.padding == "longest"
