"""What a cell asks of a device: bytes and FLOPs, by its forecast."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.units import MIB

if TYPE_CHECKING:
    from harness.forecasting.cards import Card
    from harness.forecasting.forecaster import Forecaster
    from harness.forecasting.requests import StepShapes
    from harness.forecasting.result import Forecast
    from harness.suite.cell import Cell

# Bytes of a cell's processes on the CPU beside its tensors: Python, the libraries and the fork that
# forecasts. 375 to 410 MiB (their shares of common pages summed) where models are tiny.
PROCESS = 600 * MIB
# Settings that change neither a step's bytes nor its FLOPs, beside the seed.
WITHOUT_BYTES = ("lr", "head_lr", "weight_decay")
# What torch's allocator is told, by its names of now and of before.
ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


@dataclass(frozen=True)
class Need:
    """What a cell asks for.

    Attributes:
        devices: of one machine and kind, all at once.
        memory: (kind of device, bytes on each of them), with what a process holds beside its
            tensors; of a kind that is not among them nobody knows.
        flops: of all its steps and evaluations; None: nobody knows.
    """

    devices: int = 1
    memory: tuple[tuple[str, int], ...] = ()
    flops: float | None = None

    def on(self, kind: str) -> int | None:
        """Return the bytes on each device of a kind; None: nobody knows."""
        return next((size for name, size in self.memory if name == kind), None)


def needs_of(cells: Sequence[Cell], cards: Sequence[Card], forecaster: Forecaster) -> list[Need]:
    """Return what every cell asks of every card, by the card's name.

    One of the cells that differ in their seeds alone is forecast for all of them. What cannot be
    forecast is not known, and no reason to leave a cell out.
    """
    from harness.forecasting.cells import forecast_cells

    keys = [_what_decides(cell) for cell in cells]
    alike: dict[str, Cell] = {}
    for key, cell in zip(keys, cells, strict=True):
        alike.setdefault(key, cell)
    known = _shapes(forecaster, alike)
    asked = [alike[key] for key in known]
    entries = forecast_cells(forecaster, asked, cards, timed=False, shapes=[*known.values()])
    stages: dict[tuple[str, str], list[Forecast]] = {}
    for entry in entries:
        stages.setdefault((entry.cell, entry.gpu), []).append(entry)
    needs = {
        key: Need(
            ranks_of(cell, cards),
            tuple((card.name, size) for card in cards
                  if (size := _bytes(stages[cell.path, card.name], card, cell)) is not None),
            _flops(stages[cell.path, cards[0].name][0], cell, known[key]),
        )
        for key, cell in zip(known, asked, strict=True)
    }  # fmt: skip
    return [needs.get(key, Need(ranks_of(alike[key], cards))) for key in keys]


def ranks_of(cell: Cell, cards: Sequence[Card]) -> int:
    """Return how many devices a cell's processes take; on the CPU they share its one."""
    return 1 if all(card.threads is not None for card in cards) else cell.train.devices


def _what_decides(cell: Cell) -> str:
    content = cell.model_dump(
        mode="json", exclude={"seed", "suite", "method_label", "axes", "analyses"}
    )
    for name in WITHOUT_BYTES:
        content["train"].pop(name)
    return json.dumps(content, sort_keys=True)


def _shapes(forecaster: Forecaster, cells: dict[str, Cell]) -> dict[str, StepShapes]:
    """Return the shapes of those cells whose data can be had."""
    try:
        return dict(zip(cells, forecaster.shapes([*cells.values()]), strict=True))
    except UserError:
        found = {}
    for key, cell in cells.items():
        try:
            [found[key]] = forecaster.shapes([cell])
        except UserError:
            continue
    return found


def _bytes(stages: Sequence[Forecast], card: Card, cell: Cell) -> int | None:
    """Return what the stage that needs the most needs; None where one has no forecast.

    What gets by because the allocator gives back what it caches takes all of the card.
    """
    sizes = []
    for stage in stages:
        if stage.device is None:
            return None
        if card.threads is not None:
            sizes.append(cell.train.devices * (stage.device + PROCESS))
        elif _expandable():
            most = max(need.expandable for need in stage.needs.values())
            sizes.append(most + card.context)
        else:
            passes = stage.fits != "does not fit"
            sizes.append(min(stage.device, card.usable) if passes else stage.device)
    return max(sizes)


def _expandable() -> bool:
    """Tell whether the cells' allocators are asked for expandable segments."""
    return any("expandable_segments:true" in os.environ.get(name, "").lower() for name in ALLOCATOR)


def _flops(entry: Forecast, cell: Cell, shapes: StepShapes) -> float | None:
    """Return the FLOPs of a run whose steps are all of its first stage."""
    if entry.flops_step is None or entry.flops_forward is None:
        return None
    sizes = shapes.run_sizes(cell.train)
    tokens = cell.train.accumulate * fmean(shape.tokens for shape in shapes.steps)
    count = sizes.steps.count or _nominal_steps(cell)
    training = count * entry.flops_step * sizes.steps.mean / tokens
    evaluated = sizes.evaluations
    batches = evaluated.mean * (evaluated.count or 0) if evaluated else 0.0
    return training + entry.flops_forward * batches / tokens


def _nominal_steps(cell: Cell) -> int:
    from harness.suite.plan import nominal_plan

    return nominal_plan(cell).num_steps
