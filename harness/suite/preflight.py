"""Find a user's mistakes before the first cell starts, rather than in the middle of a suite."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.models.files import check_files
from harness.suite.plan import stages_of
from harness.tasks import get_task

if TYPE_CHECKING:
    from harness.suite.suite import Cell


def check_cells(cells: Iterable[Cell]) -> None:
    """Check each distinct model and local data set of the cells, and method against settings.

    What lies on a hub is left to the cells: asking for it may be slow.

    Raises:
        UserError: naming the first thing that is missing or wrong.
    """
    seen: set[str] = set()
    for cell in cells:
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
        model = cell.model.model_dump_json()
        if model not in seen:
            seen.add(model)
            check_files(cell.model)
        request, task = cell.data_request(), get_task(cell.task.name)
        if task.is_local(request) and repr((task.name, request)) not in seen:
            seen.add(repr((task.name, request)))
            task.load(request)
