"""Cells of a tiny model on embedded data, run in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from harness.suite.load import load_suite
from harness.suite.suite import Cell
from harness.training.checkpoint import Checkpoints
from harness.training.loop import Loop
from harness.training.setup import build_job
from harness.training.state import Job

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


def job_of(cell: Cell, checkpoints: Checkpoints | None = None) -> Job:
    """Put the cell's run together."""
    return build_job(cell, silent, {}, checkpoints)


def run(cell: Cell, checkpoints: Checkpoints | None = None) -> tuple[Job, Loop]:
    """Run the cell's training to its end."""
    job = job_of(cell, checkpoints)
    loop = Loop(job)
    loop.run()
    return job, loop


def weights(job: Job) -> dict[str, torch.Tensor]:
    """Copy the model's parameters."""
    return {name: p.detach().clone() for name, p in job.model.named_parameters()}


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


def same(ours: tuple[Job, Loop], theirs: tuple[Job, Loop]) -> None:
    """Hold two runs to the same bytes, results, reports and phases."""
    mine, others = (dict(job.model.state_dict()) for job, _ in (ours, theirs))
    assert list(mine) == list(others)
    moved = [name for name in mine if not torch.equal(mine[name], others[name])]
    assert not moved, f"these differ: {moved}"
    for name in ("steps", "final_loss", "history", "best_epoch", "scores", "trainable_sum"):
        assert getattr(ours[1].result, name) == getattr(theirs[1].result, name), name
    reports = [{**job.handle.report(), "cache": None} for job, _ in (ours, theirs)]
    assert reports[0] == reports[1]
    phases = [job.meter.report(job.clock.phase_medians()).phases for job, _ in (ours, theirs)]
    kept = ("first_step", "steps", "trainable", "flops", "shallowest_live_layer")
    for mine_, other in zip(*phases, strict=True):
        assert [getattr(mine_, k) for k in kept] == [getattr(other, k) for k in kept]
