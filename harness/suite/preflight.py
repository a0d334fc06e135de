"""Find a user's mistakes before the first cell starts, rather than in the middle of a suite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness import hub
from harness.errors import UserError
from harness.models.check import check_model
from harness.models.files import model_folder
from harness.models.tokenizer import refuse_made_up
from harness.suite.plan import stages_of

if TYPE_CHECKING:
    from harness.suite.cell import Cell


def check_cells(cells: Sequence[Cell]) -> None:
    """Check each distinct model, task and data set of the cells, and method against settings.

    What lies on the hub is left to the cells where the hub answers: asking for it may be slow.

    Raises:
        UserError: naming the first thing that is missing or wrong.
    """
    for cell in cells:
        if cell.generation is not None:
            refuse_made_up(cell.model, cell.task_label)
        if cell.task.shape is not None:
            raise UserError(
                f"task {cell.task_label} is a shape without data, which cannot be trained on; "
                f"python -m harness.forecast takes it"
            )
        if cell.train.max_steps is None:  # else only the data tells how many epochs there are
            try:
                stages_of(cell)
            except ValueError as error:
                raise UserError(f"{cell.path}: {error}") from None
    check_models(cells, to_run=True)
    _check_data(cells)


def check_models(cells: Iterable[Cell], *, to_run: bool) -> None:
    """Check each distinct model of the cells; a forecast needs neither weights nor tokenizer.

    Raises:
        UserError: naming the first thing that is missing or wrong.
    """
    checks = {(cell.model.model_dump_json(), cell.family.preparer if to_run else None): cell.model
              for cell in cells}  # fmt: skip
    for (_, preparer), spec in checks.items():
        check_model(
            spec,
            weights=to_run,
            tokenizer=preparer == "tokenizer",
            image_processor=preparer == "image processor",
        )
        if to_run and spec.hub and hub.trouble():
            model_folder(spec)  # at once: it is in the cache or nowhere


def check_own_data(cells: Iterable[Cell]) -> None:
    """Check the data that suites describe themselves, as far as they are on this machine.

    Raises:
        UserError: naming file and place of the first mistake.
    """
    _check_data(cell for cell in cells if cell.task.data is not None)


def _check_data(cells: Iterable[Cell]) -> None:
    seen: set[str] = set()
    for cell in cells:
        request, task = cell.data_request(), cell.configured_task
        key = repr((task.name, cell.task.data, request))
        if key not in seen:
            task.check()
            if task.is_local(request) or hub.trouble():
                task.load(request)
        seen.add(key)
