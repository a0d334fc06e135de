"""A cell's batches, and smaller ones that make the same optimizer steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.out_of_memory import Batches

if TYPE_CHECKING:
    from harness.record import Record
    from harness.suite.cell import Cell


def batches_of(cell: Cell) -> Batches:
    """Return the batches that the cell asks for."""
    train = cell.train
    return Batches(
        batch_size=train.batch_size,
        accumulate=train.accumulate,
        eval_batch_size=train.evaluation_batch,
    )


def with_batches(cell: Cell, batches: Batches) -> Cell:
    """Return the cell as it runs with other batches; its path and key are the first one's."""
    train = cell.train.model_copy(update=batches.model_dump())
    return cell.model_copy(update={"train": train})


def as_it_runs(cell: Cell, batches: Batches | None, record: Record) -> Cell:
    """Return the cell with such batches (None: its own); notes in its record where they differ."""
    if batches is None:
        return cell
    smaller = with_batches(cell, batches)
    record.asked_batches, record.cell = batches_of(cell), smaller.model_dump(mode="json")
    return smaller


def ran(record: Record) -> Batches:
    """Return the batches that a record is of."""
    train = record.cell["train"]
    return Batches(
        batch_size=train["batch_size"],
        accumulate=train["accumulate"],
        eval_batch_size=train.get("eval_batch_size") or train["batch_size"],
    )


def smaller(cell: Cell, record: Record | None) -> Batches | None:
    """Return the batches to try next, where the record's did not fit; None: there are none.

    A training batch becomes its largest part of at most half its size that the optimizer's step
    is a whole number of: 32 x 1 comes to 16 x 2, 6 x 1 to 3 x 2 and that to 1 x 6. An evaluation's
    becomes half as large. Only the one that did not fit is made smaller, and neither where memory
    ran out over something else, such as the weights.
    """
    lack = record.out_of_memory if record is not None and record.outcome == "oom" else None
    if record is None or lack is None or not record.is_final:
        return None
    now = ran(record)
    if lack.batch_of == "evaluation" and now.eval_batch_size > 1:
        return now.model_copy(update={"eval_batch_size": now.eval_batch_size // 2})
    if lack.batch_of != "training" or now.batch_size == 1 or cell.train.optimizer_in_backward:
        return None  # the last: no gradients are summed up, so that a batch is one pass
    half = next(n for n in range(now.batch_size // 2, 0, -1) if now.batch_size % n == 0)
    passes = now.accumulate * (now.batch_size // half)
    return now.model_copy(update={"batch_size": half, "accumulate": passes})
