"""What loading and `attach` would refuse in the middle of a suite, found before its first cell.

The weights of every model are held to its config by their headers, and every method is attached to
its model without weights, each in a fork, as a forecast does it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.forecasting.pool import preload, run_forked
from harness.models.files import local_folder
from harness.suite.numerics import Numerics
from harness.suite.plan import nominal_plan

if TYPE_CHECKING:
    from harness.suite.cell import Cell
    from methods.base import Plan


def check_attach(
    cells: Iterable[Cell], progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Attach each distinct method, with what it is told, to each distinct model.

    Of what lies on a hub the config alone is asked for; where it cannot be had that model is left
    to the cells, and so is what only values can tell.

    Raises:
        UserError: naming every model whose weights are those of another one, and every cell whose
            method and model do not go together.
    """
    loaded: dict[str, Cell] = {}
    attached: dict[str, Cell] = {}
    for cell in cells:
        attached.setdefault(_what_attach_sees(cell), cell)
        if local_folder(cell.model) is not None:
            loaded.setdefault(_what_loading_sees(cell), cell)
    if not attached:
        return
    preload()
    tasks: list[tuple[Callable[[Cell], str | None], tuple[Cell]]] = [
        *((_misfit, (cell,)) for cell in loaded.values()),
        *((refusal, (cell,)) for cell in attached.values()),
    ]
    refused = {}
    workers = len(os.sched_getaffinity(0))
    for done, (number, answer) in enumerate(run_forked(tasks, workers), start=1):
        if isinstance(answer, str | UserError):
            refused[number] = str(answer)
        progress(done, len(tasks))
    if refused:
        raise UserError("\n       ".join(dict.fromkeys(refused[key] for key in sorted(refused))))


def _what_loading_sees(cell: Cell) -> str:
    facts = [cell.model.model_dump(mode="json"), cell.family.name, cell.num_labels]
    return json.dumps([*facts, cell.train.attention], sort_keys=True)


def _misfit(cell: Cell) -> None:
    """Hold the headers of the cell's weights to its model; run it in a fork."""
    from harness.models.load import check_weights
    from harness.training.precision import weight_dtype

    settings = cell.train
    check_weights(
        cell.model, cell.family, cell.num_labels, settings.attention,
        weight_dtype(settings.dtypes), settings.holds_outputs,
    )  # fmt: skip


def _what_attach_sees(cell: Cell) -> str:
    run = (*Numerics.model_fields, "gradient_checkpointing", "train_pooler", "epochs",
           "max_steps", "outputs", "loss", "liger_kernels", "padding")  # fmt: skip
    train = cell.train.model_dump(mode="json", include=set(run))
    model, family = cell.model.model_dump(mode="json"), cell.family.name
    facts = [model, family, cell.num_labels, cell.method, cell.method_options, cell.keep_best]
    facts.append(cell.generation is not None)
    return json.dumps([*facts, train], sort_keys=True)


def refusal(cell: Cell) -> str | None:
    """Return what the cell's method has against its model, or None; run it in a fork.

    How many steps an epoch has only the data tells: what a longer run would mend is left to the
    cell.
    """
    plan = nominal_plan(cell)
    longer = replace(plan, num_steps=1000 * plan.num_steps,
                     steps_per_epoch=1000 * plan.steps_per_epoch)  # fmt: skip
    if cell.model.hub is not None and not _has_config(cell):
        return None
    if _refused(cell, plan) is None:
        return None
    reason = _refused(cell, longer)
    return None if reason is None else f"{cell.path}: {reason}"


def _has_config(cell: Cell) -> bool:
    """Tell whether the hub, or what was taken from it before, has a config that can be read."""
    from harness.models.config import build_config

    try:
        build_config(cell.model)
    except UserError:
        return False
    return True


def _refused(cell: Cell, plan: Plan) -> str | None:
    import torch
    from transformers.initialization import no_init_weights

    from harness.simulation.bitsandbytes_package import bitsandbytes_package
    from harness.simulation.quantized import StandIns
    from harness.simulation.target import CPU
    from harness.tasks.families.decoding import refuse_wrapped
    from harness.training.attach import attach
    from harness.training.base import untrained
    from methods import get_method

    settings, device = cell.train, torch.device("meta")
    method = get_method(cell.method)(**cell.method_options)
    try:
        # Some types show a bar of their own.
        with bitsandbytes_package(asked=settings.dtypes.quantised), redirect_stderr(StringIO()):
            with device, no_init_weights():
                model = untrained(cell.model, cell.family, cell.num_labels, settings, StandIns(CPU))
            attached = attach(model, method, plan, settings, device)
            if cell.generation is not None:
                refuse_wrapped(attached.handle.model)
    except ValueError as error:
        return None if isinstance(error.__cause__, NotImplementedError) else str(error)
    return None
