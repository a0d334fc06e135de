"""A cell with one setting at another value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import UserError

if TYPE_CHECKING:
    from harness.suite.cell import Cell


def with_batch(cell: Cell, batch: int) -> Cell:
    """Return the cell with another batch size."""
    train = cell.train.model_copy(update={"batch_size": batch})
    return cell.model_copy(update={"train": train})


def with_length(cell: Cell, length: int) -> Cell:
    """Return the cell with every batch padded to this length.

    Raises:
        UserError: its inputs have no length.
    """
    if cell.family.preparer == "image processor":
        raise UserError(f"length: {cell.path} has images, which have no length")
    padding = "packed" if cell.train.padding == "packed" else "max"
    settings = {"max_length": length, "padding": padding, "length_grouping": False}
    task, shape = cell.task, cell.task.shape
    if shape is not None:
        task = task.model_copy(update={"shape": shape.model_copy(update={"lengths": ()})})
    train = cell.train.model_copy(update=settings)
    return cell.model_copy(update={"train": train, "task": task})


def with_option(cell: Cell, name: str, value: Any) -> Cell:
    """Return the cell with another value of its method's option."""
    return cell.model_copy(update={"method_options": {**cell.method_options, name: value}})
