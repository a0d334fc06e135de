"""The figures that a budget is held against: forecasts of a suite, or measurements of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.budgets.times import StepBudget
from harness.errors import UserError
from harness.untrusted import WRONG, said

if TYPE_CHECKING:
    from harness.forecasting.result import Forecast
    from harness.record import Record


@dataclass(frozen=True)
class Figure:
    """Peak bytes of one cell, split by category and by place in the model; its step time.

    Attributes:
        step: None: none was asked for.
    """

    peak: int
    split: dict[str, int]
    modules: dict[str, int]
    step: StepBudget | None = None


@dataclass(frozen=True)
class Figures:
    """All cells' figures; `errors` are cells that have none, and why.

    Attributes:
        gpu: card, or "cpu" for a run without one.
    """

    kind: Literal["forecast", "measured"]
    gpu: str
    cells: dict[str, Figure]
    errors: dict[str, str] = field(default_factory=dict)


def figures_of(source: Path, gpu: str, plugins: Sequence[str] = (), timed: bool = False) -> Figures:
    """Forecast the suite at `source`, or read the run folder there; `timed`: step times, too.

    Raises:
        UserError: it is neither, or nothing is known of its step times.
    """
    if source.is_file():
        return _forecast(source, gpu, plugins, timed)
    if (source / "suite.json").is_file():
        if timed:
            raise UserError(
                f"--time: {source} is a run folder, whose step times are other ones in every run; "
                "a budget of time is of a suite's forecasts"
            )
        return _measured(source)
    raise UserError(f"{source} is neither a suite's YAML file nor a run folder")


def _forecast(suite: Path, gpu: str, plugins: Sequence[str], timed: bool) -> Figures:
    from harness.forecasting.cache import cache_folder
    from harness.forecasting.cards import find_card
    from harness.forecasting.cells import forecast_cells
    from harness.forecasting.forecaster import Forecaster
    from harness.suite.load import load_suite
    from harness.suite.preflight import check_models

    card = find_card(gpu).as_sold()
    if timed and card.clock is None:
        raise UserError(f"--time: no datasheet of {gpu}'s speed is known; name another card")
    chosen = load_suite(suite, plugins=plugins).cells()
    check_models(chosen, to_run=False)
    forecasts = forecast_cells(Forecaster(cache_folder()), chosen, [card], timed=timed)
    staged = {entry.cell for entry in forecasts if entry.stage != "training"}
    cells, errors = {}, {}
    for entry in forecasts:
        name = f"{entry.cell}@{entry.stage}" if entry.cell in staged else entry.cell
        if entry.peak_allocated is None:
            errors[name] = entry.error or "no forecast"
        else:
            step = _step(entry) if timed else None
            cells[name] = Figure(entry.peak_allocated, entry.split, entry.modules, step)
    return Figures("forecast", gpu, cells, errors)


def _step(entry: Forecast) -> StepBudget | None:
    step = entry.step_time
    return StepBudget(seconds=step.seconds, bar=step.bar.ratio) if step else None


def _measured(folder: Path) -> Figures:
    from harness.store import Store

    cells: dict[str, Figure] = {}
    errors: dict[str, str] = {}
    gpus: set[str] = set()
    records, left_out = Store(folder).contents()
    errors |= {each.path: each.reason for each in left_out}
    for record in records:
        if record.outcome != "ok" or record.memory is None:
            errors[record.path] = record.outcome
            continue
        if record.is_halved:
            errors[record.path] = f"ran in smaller batches than {record.asked_batches}"
            continue
        gpu = record.environment.gpu
        try:
            cells[record.path] = _of_record(record)
        except WRONG as error:
            errors[record.path] = f"no peak can be read in its record: {said(error)}"
        else:
            gpus.add(gpu.name if gpu else "cpu")
    if len(gpus) > 1:
        raise UserError(f"{folder}: records of several devices: {', '.join(sorted(gpus))}")
    return Figures("measured", next(iter(gpus), "cpu"), cells, errors)


def _of_record(record: Record) -> Figure:
    assert record.memory is not None
    phase = max(record.memory.phases, key=lambda p: p.peak_allocated)
    modules: Counter[str] = Counter()
    for holder in phase.holders:
        modules[str(holder["path"])] += int(holder["num_bytes"])
    return Figure(phase.peak_allocated, phase.split, dict(modules))
