"""A bare shape says whether batches are evaluated, too."""

from __future__ import annotations

from harness.forecasting.requests import shapes_without_data
from harness.suite.cell import Cell
from harness.suite.document import Document
from harness.suite.load import suite_of


def cell(**shape: object) -> Cell:
    said = {"family": "causal_lm", "batch_size": 2, "length": 32, **shape}
    data = {
        "name": "one", "model": {"config": "tiny-llama"}, "tasks": [{"shape": said}],
        "methods": ["full"], "train": {"eval_batch_size": 8},
    }  # fmt: skip
    (only,) = suite_of(Document("one.yaml", data)).cells()
    return only


def test_a_shape_without_evaluation_needs_room_for_none() -> None:
    evaluated = shapes_without_data(cell())
    assert evaluated.evaluation is not None
    assert evaluated.evaluation.examples == 8
    alone = shapes_without_data(cell(evaluation=False))
    assert alone.evaluation is None
    assert alone.steps == evaluated.steps


def test_the_default_is_no_part_of_a_cells_identity() -> None:
    assert cell().key == cell(evaluation=True).key != cell(evaluation=False).key
