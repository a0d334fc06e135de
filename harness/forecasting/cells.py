"""Forecasts of cells on cards: ask once per distinct step, judge once per card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UserError
from harness.forecasting.cards import Card, clocks_of, target_of
from harness.forecasting.forecaster import Answer, Asked, Forecaster
from harness.forecasting.requests import StepShapes, requests_of
from harness.forecasting.result import FITS, AtValue, Fit, Forecast
from harness.forecasting.run_sizes import RunSizes
from harness.forecasting.timed import of_step, with_run
from harness.models.attention import FLASH
from harness.models.liger import VERSION as LIGER
from harness.simulation.request import Request, structural
from harness.simulation.step_forecast import StepForecast
from harness.simulation.target import THIS_CARD
from harness.suite.numerics import TYPES
from harness.suite.optimizers import OPTIMIZERS
from harness.suite.settings import TrainSettings
from methods.wording import spelled

if TYPE_CHECKING:
    from harness.suite.cell import Cell

# Below this share of the card a fit is called tight: drivers, desktops and contexts differ.
TIGHT = 0.03
# What both say of a step, under one name.
SHARED = (frozenset(StepForecast.model_fields) & frozenset(Forecast.model_fields)) - {"times"}
CACHED = ("peak_reserved", "peak_expandable", "fits_expandable")  # of the allocator: not on the CPU


def forecast_cells(
    forecaster: Forecaster,
    cells: Sequence[Cell],
    cards: Sequence[Card],
    native: bool = False,
    *,
    timed: bool = True,
    shapes: Sequence[StepShapes] | None = None,
) -> list[Forecast]:
    """Forecast every cell on every card, one entry per stage; errors are entries, too.

    `timed` asks for seconds where the card has a datasheet. `native` runs the step on fake tensors
    of this machine's GPU in place of a stand-in. `shapes` are the cells', where they are known.
    """
    asked: list[list[_Step] | Forecast] = []  # by cell and card: its stages
    found = forecaster.shapes(cells) if shapes is None else shapes
    for cell, shape in zip(cells, found, strict=True):
        sizes = shape.run_sizes(cell.train)
        for card in cards:
            try:
                requests = requests_of(cell, target_of(card), shape)
            except UserError as error:
                asked.append(_refused(cell, card, shape, error))
                continue
            if native:
                requests = [one.model_copy(update={"stand_in": "cuda"}) for one in requests]
            asked.append([_Step(cell, card, r, shape.assumptions, sizes) for r in requests])
    steps = [step for stages in asked if isinstance(stages, list) for step in stages]
    questions = [question(step.request, step.card, timed=timed) for step in steps]
    answers = iter(forecaster.ask(questions))
    entries: list[Forecast] = []
    for stages in asked:
        if isinstance(stages, Forecast):
            entries.append(stages)
        else:
            entries += _judged([(stage, next(answers)) for stage in stages])
    return entries


def _judged(stages: Sequence[tuple[_Step, Answer]]) -> list[Forecast]:
    """Return the entries of one cell's stages on one card, each with the time of the whole run."""
    entries = [judge(*one[:4], answer, one.sizes) for one, answer in stages]
    known = [answer for _, answer in stages if isinstance(answer, StepForecast)]
    if len(known) < len(stages):
        return entries
    cell, card, _, _, sizes = stages[0][0]
    fractions = [one.request.stage.fraction for one, _ in stages]
    return with_run(entries, cell, card.clock, sizes, fractions, known[0].num_probe)


def question(request: Request, card: Card, *, timed: bool = True) -> Asked:
    """Return what is asked of a step for its verdict and its time on a card."""
    clocks = clocks_of(card) if timed else ()
    capacities = (card.capacity,) if card.threads is None else ()  # no allocator to replay
    return Asked(request, capacities, clocks)


class _Step(NamedTuple):
    """One step of one cell on one card, as `judge` takes it, before its answer is there."""

    cell: Cell
    card: Card
    request: Request
    assumptions: tuple[str, ...]
    sizes: RunSizes


def _refused(cell: Cell, card: Card, shapes: StepShapes, error: UserError) -> Forecast:
    """Return the entry of a cell whose method and settings do not go together."""
    return Forecast(
        cell=cell.path,
        method=cell.method_label,
        model=cell.model.name,
        task=cell.task_label,
        gpu=card.name,
        stage="training",
        steps=[shape.brief for shape in shapes.steps],
        error=str(error).removeprefix(f"{cell.path}: "),
    )


def judge(
    cell: Cell,
    card: Card,
    request: Request,
    assumptions: tuple[str, ...],
    answer: Answer,
    sizes: RunSizes | None = None,
) -> Forecast:
    """Return the entry of one cell and stage on one card.

    `sizes` are those of the whole run; None: its steps are like the request's.
    """
    entry = Forecast(
        cell=cell.path,
        method=cell.method_label,
        model=cell.model.name,
        task=cell.task_label,
        gpu=card.name,
        stage=request.stage.name,
        steps=[shape.brief for shape in request.steps],
        evaluation=request.evaluation.brief if request.evaluation else None,
        assumptions=[*assumptions, *_assumed(request), *card.assumptions],
        lacks=card.lacks(cell.train),
        choices=_choices(request, card, answer),
    )
    if not isinstance(answer, StepForecast):
        return entry.model_copy(update={"error": error_on(card, answer)})
    device = answer.reserved + card.context
    on_card = {
        "device": device,
        "usable": card.usable,
        "margin": card.usable - device,
        "fits": fit_of(answer, card),
        "fits_expandable": _fit(max(need.expandable for need in answer.needs.values()), card),
        "decides": answer.decides,
        "total_parameters": answer.parameters["total"],
    }
    counts = {name: answer.parameters[name] for name in
              ("adapter_trainable", "head_trainable", "adapter_stored")}  # fmt: skip
    step = {name: getattr(answer, name) for name in SHARED}
    sizes = sizes or StepShapes(request.steps).run_sizes(request.train)
    seconds = of_step(card.clock, sizes, answer)
    uncached = dict.fromkeys(CACHED) if card.threads is not None else {}
    return entry.model_copy(update={**step, **counts, **on_card, **seconds, **uncached})


def error_on(card: Card, answer: Answer) -> str:
    """Return why there is no forecast, with the card's name where that is the card's doing."""
    major, minor = card.capability
    return str(answer).replace(THIS_CARD, f"{card.name} (capability {major}.{minor})")


def _assumed(request: Request) -> list[str]:
    """Return what the simulation assumes of values that it does not have."""
    padded = request.mask and any(shape.padded for shape in request.steps)
    counted = padded and request.train.attention == FLASH
    return [f"attention {FLASH}: padding is counted as tokens"] if counted else []


def _choices(request: Request, card: Card, answer: Answer) -> dict[str, str]:
    from harness.env import MEMORY_PACKAGES, package_versions

    versions, train = package_versions(), request.train
    step = answer if isinstance(answer, StepForecast) else None
    return {
        "capability": ".".join(map(str, card.capability)) if card.threads is None else "none",
        "precision": str(train.dtypes),
        "attention": step.attention if step else train.attention,
        "optimizer": f"{train.optimizer}, {OPTIMIZERS[train.optimizer].kernels}",
        "gradient_checkpointing": str(train.gradient_checkpointing).lower(),
        **_loss(request, versions["transformers"]),
        "accumulate": str(train.accumulate),
        "mask": str(request.mask).lower(),
        **_moved(train),
        **{name: versions[name] for name in MEMORY_PACKAGES},
    }


def _loss(request: Request, version: str) -> dict[str, str]:
    """Say whose loss a causal language model's is; that of transformers holds for its version."""
    if request.family != "causal_lm":
        return {}
    whose = {"model": f"of transformers {version}", "liger": f"of Liger {LIGER}"}
    return {"loss": f"{request.train.loss}, {whose.get(request.train.loss, 'in pieces')}"}


def _moved(train: TrainSettings) -> dict[str, str]:
    """Return the settings that are not at their defaults and that memory depends on."""
    always = {*TYPES, "attention", "loss", "optimizer", "gradient_checkpointing", "accumulate"}
    ours, defaults = structural(train), structural(TrainSettings())
    return {
        name: spelled(getattr(train, name))
        for name in TrainSettings.model_fields
        if name not in always and ours.get(name) != defaults.get(name)
    }


def fit_of(step: StepForecast, card: Card) -> Fit:
    """Say whether a run fits: its steps, and what it does beside them.

    It fits with room to spare; or it is tight: less than 3 % is left, or only because the
    allocator gives back what it caches; or it does not.
    """
    if step.reserved > card.capacity and step.passes.get(card.capacity):
        return "tight"
    return _fit(step.reserved, card)


def room_of(card: Card) -> int:
    """Return up to how many reserved bytes a run fits with room to spare."""
    return int(card.capacity - TIGHT * card.usable)


def _fit(reserved: int, card: Card) -> Fit:
    if reserved <= room_of(card):
        return "fits"
    return "tight" if reserved <= card.capacity else "does not fit"


def worst_of(entries: Sequence[Forecast]) -> Forecast:
    """Return, of one cell's stages on one card, the one that decides whether it fits.

    That is one without a forecast, if there is one, or else the one that needs the most.
    """

    def need(entry: Forecast) -> tuple[int, int]:
        return FITS.index(entry.fits) if entry.fits else len(FITS), entry.device or 0

    return max(entries, key=need)


def at_value(value: int, cell: Cell, entries: Sequence[Forecast]) -> AtValue:
    """Return what the stages of a cell, set to a value, come to on one card."""
    error = next((entry.error for entry in entries if entry.error), None)
    if error:
        return AtValue(value=value, error=error)
    worst = worst_of(entries)
    rows = max(step[0] for entry in entries for step in entry.steps)
    return AtValue(
        value=value,
        fits=worst.fits,
        allocated=max(need.allocated for need in worst.needs.values()),
        reserved=max(need.reserved for need in worst.needs.values()) or None,
        device=worst.device,
        margin=worst.margin,
        stage=worst.stage,
        decides=worst.decides,
        examples=rows if rows < cell.train.batch_size else None,
        step=entries[0].step_time,
    )
