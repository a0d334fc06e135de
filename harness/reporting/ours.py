"""What records and forecasts have of the figures that papers print, in the papers' units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from harness.units import GIB, is_fraction

if TYPE_CHECKING:
    from harness.forecasting.result import Forecast
    from harness.record import Record

Kind = Literal["measured", "forecast"]


@dataclass(frozen=True)
class Value:
    """A figure at the first and at the last stage of training, and its mean over steps if known."""

    first: float
    last: float
    mean: float | None = None

    @property
    def changes(self) -> bool:
        """Whether stages differ."""
        return self.first != self.last


@dataclass(frozen=True)
class Ours:
    """What one cell has, over its seeds: metric -> value.

    Attributes:
        method: the label of the suite's entry.
        variant: what tells it from other cells of the method: values of the grid, a shape.
        task: label of the task; empty for a bare shape, which stands for any.
    """

    kind: Kind
    model: str
    method: str
    variant: str
    task: str
    figures: Mapping[str, Value] = field(default_factory=dict)


def mean_of(values: Sequence[Value]) -> Value | None:
    """Return the mean of each part; None of nothing. Its mean over steps needs that of all."""
    if not values:
        return None
    means = [value.mean for value in values if value.mean is not None]
    whole = fmean(means) if len(means) == len(values) else None
    return Value(fmean(v.first for v in values), fmean(v.last for v in values), whole)


def of_records(records: Iterable[Record]) -> list[Ours]:
    """Return what records measured, and what was forecast in them, over seeds."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        if record.outcome == "ok":
            groups.setdefault(tuple(record.path.split("/")[:-1]), []).append(record)
    found = []
    for (task, model, _, *axes), group in groups.items():
        method = str(group[0].cell.get("method_label"))
        seeds: dict[Kind, list[dict[str, Value]]] = {
            "measured": [_measured(record) for record in group],
            "forecast": [_foreseen(record) for record in group],
        }
        for kind, figures in seeds.items():
            if known := [each for each in figures if each]:
                found.append(Ours(kind, model, method, " ".join(axes), task, _merged(known)))
    return found


def _merged(seeds: Sequence[Mapping[str, Value]]) -> dict[str, Value]:
    """Return means over seeds of what all of them have."""
    names = [name for name in seeds[0] if all(name in each for each in seeds)]
    means = {name: mean_of([each[name] for each in seeds]) for name in names}
    return {name: mean for name, mean in means.items() if mean is not None}


def _measured(record: Record) -> dict[str, Value]:
    figures: dict[str, Value] = {}
    if record.memory and record.memory.phases:
        memory, phases = record.memory, record.memory.phases
        figures["memory"] = Value(phases[0].peak_allocated / GIB, phases[-1].peak_allocated / GIB,
                                  memory.peak_step_mean / GIB)  # fmt: skip
    if record.parameters:
        figures["trainable_params"] = _one(record.parameters.adapter_trainable / 1e6)
        figures["trainable_params_avg"] = _one(record.parameters.adapter_trainable_mean / 1e6)
    if record.flops and record.flops.training is not None:
        figures["computation"] = figures["flops"] = _one(record.flops.training / 1e12)
    if record.time:
        figures["runtime"] = _one(record.time.training)
    for metric, score in record.reported.items():
        figures[metric] = _one(100 * score if is_fraction(metric) else score)
    if record.averaged_score is not None:
        figures["average"] = _one(100 * record.averaged_score)
    return figures


def _foreseen(record: Record) -> dict[str, Value]:
    """Return what the record's own forecast says: memory alone."""
    if not record.forecast or not record.forecast.stages:
        return {}
    peaks = [stage.peak_allocated / GIB for stage in record.forecast.stages.values()]
    return {"memory": Value(peaks[0], peaks[-1])}


def of_forecasts(forecasts: Iterable[Forecast], shapes: Iterable[str] = ()) -> list[Ours]:
    """Return what forecasts say, the first card's where there are several.

    Args:
        forecasts: of all cells, stages and cards.
        shapes: labels of tasks that are bare shapes.
    """
    bare = set(shapes)
    cells: dict[str, dict[str, Forecast]] = {}
    for entry in forecasts:
        cells.setdefault(entry.cell, {}).setdefault(entry.stage, entry)
    found: dict[tuple[str, ...], Ours] = {}
    for path, stages in cells.items():
        entries = [entry for entry in stages.values() if not entry.error]
        if entries:
            one, axes = entries[0], path.split("/")[3:-1]
            shape = one.task if one.task in bare else ""
            variant = " ".join([*axes, *([shape] if shape and len(bare) > 1 else [])])
            ours = Ours("forecast", one.model, one.method, variant, "" if shape else one.task,
                        _forecast_figures(entries))  # fmt: skip
            found.setdefault((ours.model, ours.method, ours.variant, ours.task), ours)
    return list(found.values())


def _forecast_figures(stages: Sequence[Forecast]) -> dict[str, Value]:
    first, last = stages[0], stages[-1]
    figures: dict[str, Value] = {}
    if first.peak_allocated is not None and last.peak_allocated is not None:
        figures["memory"] = Value(first.peak_allocated / GIB, last.peak_allocated / GIB)
    if first.adapter_trainable is not None and last.adapter_trainable is not None:
        start, end = first.adapter_trainable / 1e6, last.adapter_trainable / 1e6
        figures["trainable_params"] = _one(start)
        figures["trainable_params_avg"] = Value(start, end)
    if first.flops_step and last.flops_step:
        figures["flops"] = Value(first.flops_step / 1e12, last.flops_step / 1e12)
    return figures


def _one(value: float) -> Value:
    return Value(value, value)
