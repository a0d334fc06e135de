"""Cells of a tiny model on embedded data, run in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from harness.record import Memory
from harness.suite.cell import Cell
from harness.suite.load import load_suite
from harness.training.checkpoint import Checkpoints
from harness.training.loop import Loop
from harness.training.optim import optimizer_state
from harness.training.setup import Setup, load_cell_data, load_cell_model, set_up

SUITE = """\
name: small
model: {config: tiny-bert}
tasks: [{name: acceptability, train_rows: 64, evaluation_rows: 32}]
methods: [METHOD]
train: {batch_size: 8, max_length: 16, epochs: 2}
"""
# 24 steps, three an epoch, each scored: for runs that are interrupted on their way.
RESUMED = (
    'tasks=[{name: acceptability, train_rows: 24, evaluation_rows: 16}]', "train.max_length=12",
    "train.epochs=8", "train.lr=5.0e-3", "train.weight_decay=0.1", "train.evaluate=epoch",
)  # fmt: skip
LORA = "{lora: {r: 4, dropout: 0.1, targets: qv}}"


def rows(train: int, evaluation: int) -> str:
    """Return the override that makes the data so small."""
    return f"tasks=[{{name: acceptability, train_rows: {train}, evaluation_rows: {evaluation}}}]"


# A run that prunes; tests of what is left of it share one.
PRUNED_METHOD = "{loraprune: {r: 4, interval: 2, warm_up: 0}}"
PRUNED_SETTINGS = (rows(64, 16), "train.padding=max", "train.epochs=3", "train.lr=1.0e-2")


def suite_file(folder: Path, method: str = "lora", text: str = SUITE) -> Path:
    """Write a suite into the folder."""
    file = folder / "small.yaml"
    file.write_text(text.replace("METHOD", method))
    return file


def cell_of(folder: Path, method: str, *overrides: str) -> Cell:
    """Return the one cell of the suite with this method."""
    (cell,) = load_suite(suite_file(folder, method), overrides).cells()
    return cell


def silent(_event: dict[str, Any]) -> None:
    """Take no note of progress."""


def setup_of(cell: Cell, checkpoints: Checkpoints | None = None) -> Setup:
    """Put the cell's run together."""
    data, model = load_cell_data(cell), load_cell_model(cell)
    return set_up(cell, data, model, silent, checkpoints)


def run(cell: Cell, checkpoints: Checkpoints | None = None) -> Setup:
    """Run the cell's training to its end."""
    setup = setup_of(cell, checkpoints)
    Loop(setup).run()
    return setup


def weights(setup: Setup) -> dict[str, torch.Tensor]:
    """Copy the model's parameters."""
    return {name: p.detach().clone() for name, p in setup.model.named_parameters()}


class EndsAfter(Checkpoints):
    """Asks for a checkpoint after so many steps of this process."""

    def __init__(self, folder: Path, steps: int) -> None:
        super().__init__(folder, every=1e9)
        self.left = steps

    def due(self) -> bool:
        """Count down."""
        self.left -= 1
        self.wanted = self.left == 0
        return self.wanted


def same(ours: Setup, theirs: Setup) -> None:
    """Hold two runs to the same bytes, results, reports and phases."""
    mine, others = (dict(setup.model.state_dict()) for setup in (ours, theirs))
    assert list(mine) == list(others)
    moved = [name for name in mine if not torch.equal(mine[name], others[name])]
    assert not moved, f"these differ: {moved}"
    kept = ("steps", "final_loss", "history", "best_epoch", "scores", "trainable_sum", "frozen_at")
    for name in kept:
        results = (ours.state.result, theirs.state.result)
        assert getattr(results[0], name) == getattr(results[1], name), name
    assert ours.state.freezing() == theirs.state.freezing()
    reports = [{**setup.handle.report(), "cache": None} for setup in (ours, theirs)]
    assert reports[0] == reports[1]
    tensors = [_flat(optimizer_state(each.state.optimizer, each.model)) for each in (ours, theirs)]
    assert list(tensors[0]) == list(tensors[1])
    moved = [name for name, value in tensors[0].items() if not _alike(value, tensors[1][name])]
    assert not moved, f"of the optimizer these differ: {moved}"
    told = ("first_step", "steps", "trainable", "flops", "shallowest_live_layer", "audited_steps",
            "peak_allocated", "peak_mean", "split", "peaks", "saved_activations", "at_rest",
            "holders")  # fmt: skip
    assert report(ours).peak_evaluation == report(theirs).peak_evaluation
    compacted = [each.state.result.compacted for each in (ours, theirs)]
    last = [[one.memory] if one is not None else [] for one in compacted]
    pairs = zip([*report(ours).phases, *last[0]], [*report(theirs).phases, *last[1]], strict=True)
    for one, other in pairs:
        assert [getattr(one, k) for k in told] == [getattr(other, k) for k in told]


def _flat(state: Any, name: str = "") -> dict[str, Any]:
    """Return the leaves of nested state by their places."""
    if not isinstance(state, dict | list | tuple):
        return {name: state}
    inner = state.items() if isinstance(state, dict) else enumerate(state)
    return {k: v for key, value in inner for k, v in _flat(value, f"{name}.{key}").items()}


def _alike(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


def report(setup: Setup) -> Memory:
    """Return what was measured of the run's memory."""
    return setup.meter.report(setup.clock.phase_medians())
