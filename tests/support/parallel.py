"""Cells of several ranks, each in a fork of this process, and the same work in one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from asked import warm
from cells import silent
from numpy.typing import NDArray
from torch import nn

from harness.forecasting.pool import run_forked
from harness.record import Record
from harness.suite.cell import Cell
from harness.training.checkpoint import Checkpoints
from harness.training.loop import Interrupted, Loop
from harness.training.ranks import ALONE, Joined, Ranks
from harness.training.setup import Setup, load_cell_data, load_cell_model, set_up

Array = NDArray[Any]


def in_ranks(folder: Path, size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Return what each of so many ranks returns for (ranks, *arguments)."""
    warm()
    import torch._dynamo  # noqa: F401 (torch's copies ask it, and each fork would import it)

    meeting = folder / f"meeting-{uuid4().hex}"
    tasks = [(_joined, (rank, size, meeting, function, arguments)) for rank in range(size)]
    results = dict(run_forked(tasks, workers=size))
    for result in results.values():
        if isinstance(result, Exception):
            raise result
    return [results[rank] for rank in range(size)]


def _joined(rank: int, size: int, meeting: Path, function: Any, arguments: Any) -> Any:
    ranks = Joined(rank, size, meeting)
    result = function(ranks, *arguments)
    ranks.leave()
    return result


def trained(
    ranks: Ranks, cell: Cell, checkpoints: Checkpoints | None = None, dropout: bool = False
) -> Any:
    """Run the cell's training; return what of it ranks must share, or None: it was interrupted.

    Without dropout, of which each rank draws its own: what is left must be one process's. Nothing
    is metered, which takes most of the time of runs this small.
    """
    setup = prepared(ranks, cell, checkpoints, dropout)
    unmetered(setup)
    try:
        Loop(setup).run()
    except Interrupted:
        return None
    return outcome(setup)


def prepared(
    ranks: Ranks, cell: Cell, checkpoints: Checkpoints | None = None, dropout: bool = False
) -> Setup:
    """Put the run together."""
    data, model = load_cell_data(cell), load_cell_model(cell)
    setup = set_up(cell, data, model, silent, checkpoints, ranks)
    for module in setup.model.modules() if not dropout else ():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif hasattr(module, "dropout_prob"):
            module.dropout_prob = 0.0
    return setup


def unmetered(setup: Setup) -> None:
    """Have nothing audited and no FLOPs counted."""
    meter: Any = setup.meter
    meter.wants = meter.audit_evaluation = meter.count = lambda *_: False
    meter.knows = lambda _: True
    meter.probing = lambda look, _: look()


def outcome(setup: Setup) -> dict[str, Any]:
    """Return losses, scores, choices and weights of a run."""
    result = setup.state.result
    return {
        "losses": [entry["loss"] for entry in result.history],
        "scores": result.scores,
        "steps": result.steps,
        "frozen_at": dict(result.frozen_at),
        "resumed_at": result.resumed_at,
        "report": setup.handle.report(),
        "weights": {
            name: parameter.detach().numpy().copy()  # torch's own would be sent by a descriptor
            for name, parameter in setup.model.named_parameters()
        },
    }


def alone(cell: Cell) -> Any:
    """Run the cell's training in one process."""
    from asked import forked

    return forked(partial(trained, ALONE), cell)


def recorded(ranks: Ranks, cell: Cell) -> Record:
    """Run the whole cell, as its process does."""
    from harness.cell import run_cell

    return run_cell(cell, silent, join=lambda: ranks)


def furthest(ours: dict[str, Array], theirs: dict[str, Array]) -> float:
    """Return by how much any weight of two runs differs."""
    assert list(ours) == list(theirs)
    return max(float(abs(ours[name] - theirs[name]).max()) for name in ours)
