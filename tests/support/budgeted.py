"""Figures and budget files for tests of the gate, without a forecast."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from harness import budget
from harness.budgets.accepting import Accepted, updated
from harness.budgets.figures import Figure, Figures, software
from harness.budgets.file import Budget, read_budget, write_budget
from harness.budgets.spot import Spot
from harness.budgets.times import StepBudget
from harness.comparing.sides import Place

CARD = "l4"
TINY = """\
name: gated
model: {config: tiny-bert}
tasks:
  - {shape: {family: classification, batch_size: 64, length: 64}}
methods: [lora, bitfit]
"""


def spot(path: str, card: str = CARD) -> Spot:
    return Spot(path, card)


def figure(peak: int, step: StepBudget | None = None, **more: Any) -> Figure:
    """Return the figure of a cell whose peak is activations of one place, and nothing else."""
    held = {
        "sizes": {"peak": peak}, "split": {"activations": peak},
        "places": {Place("activations", "layer.*"): peak}, "key": "k", "step": step,
    }  # fmt: skip
    return Figure(**{**held, **more})


def figures(cells: Mapping[str, Figure], card: str = CARD, **versions: str) -> Figures:
    """Return forecast figures of one card, made with what is installed or other versions."""
    found = {Spot(path, card): one for path, one in cells.items()}
    return Figures("forecast", (card,), found, software={card: {**software(), **versions}})


def peaks(**sizes: int) -> Figures:
    return figures({path: figure(size) for path, size in sizes.items()})


def made(figures: Figures, reason: str = "start", **tolerance: float) -> Budget:
    """Return the budget of figures, as a new file has it."""
    return updated(None, figures, Accepted(reason, tolerance))[0]


def written(file: Path, figures: Figures, **tolerance: float) -> Budget:
    write_budget(file, made(figures, **tolerance))
    return read_budget(file)


def invoke(*arguments: Any) -> tuple[int, str]:
    """Call `headroom budget` with the arguments; return its exit code and what it says."""
    done = CliRunner().invoke(budget.app, [str(argument) for argument in arguments])
    return done.exit_code, done.output
