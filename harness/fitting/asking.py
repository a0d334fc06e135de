"""From what a user types to a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import tasks
from harness.errors import UserError
from harness.fitting.kinds import DEFAULT, ON_CPU, kinds_of
from harness.fitting.own_file import own_file
from harness.fitting.wanted import Wanted, model_of
from harness.forecasting.cards import Card, find_card
from harness.tasks import families
from methods.wording import nearest

LENGTH, BATCH, TASK = 2048, 1, "causal_lm"


@dataclass(frozen=True)
class Typed:
    """The arguments of `headroom fit`; None: not given.

    Attributes:
        model: of the hub, of the catalogue, a folder, or a trainer's config.
        gpu: one card.
        rank: of methods that have one.
        trainer: whose config the model is.
        overrides: `train.KEY=VALUE`.
    """

    model: str
    gpu: str
    rank: int
    length: int | None = None
    batch: int | None = None
    methods: str | None = None
    task: str | None = None
    trainer: str | None = None
    overrides: Sequence[str] = ()


def wanted_of(typed: Typed) -> Wanted:
    """Return the question.

    Raises:
        UserError: an argument says nothing that there is, with the nearest that there is.
    """
    if "," in typed.gpu:
        raise UserError(f"--gpu {typed.gpu}: one card; fit answers for each by itself")
    card = find_card(typed.gpu)
    names = [name.strip() for name in (typed.methods or "").split(",") if name.strip()]
    if typed.methods is not None and not names:
        raise UserError("--methods: name at least one, such as lora")
    if Path(typed.model).expanduser().is_file():
        return _of_file(typed, names, card)
    if typed.trainer is not None:
        raise UserError(f"--from {typed.trainer}: {typed.model} is no file")
    task = typed.task or TASK
    known = [*families.names(), *tasks.names()]
    if task not in known:
        raise UserError(f"--task {task}: unknown task; {nearest(task, known)}")
    return Wanted(
        model=model_of(typed.model),
        task=task,
        length=typed.length or LENGTH,
        batch=typed.batch or BATCH,
        card=card,
        kinds=kinds_of(names or (DEFAULT if card.threads is None else ON_CPU), typed.rank, card),
        overrides=typed.overrides,
    )


def _of_file(typed: Typed, names: Sequence[str], card: Card) -> Wanted:
    """Return the question that a trainer's config is, with what is typed beside it."""
    if typed.task is not None:
        raise UserError(f"--task {typed.task}: {typed.model} says its task")
    own = own_file(Path(typed.model).expanduser(), typed.trainer, card, typed.overrides)
    return Wanted(
        model=own.model,
        task=own.family,
        length=typed.length or own.length,
        batch=typed.batch or own.batch,
        card=card,
        kinds=[own.kind, *kinds_of(names, typed.rank, card)],
        overrides=typed.overrides,
        own_task=own.task,
        notes=own.notes,
    )
