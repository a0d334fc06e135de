"""The comparison as tables: one to tell which method, and others below it to tell why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.reporting.columns import (
    Column,
    Table,
    change,
    count,
    memory,
    number,
    parameters,
    quotient,
    teraflop,
    words,
)
from harness.reporting.comparison import IMAGE, SPLIT, Comparison, Row, forward_lengths
from harness.reporting.layout import MAIN_WIDTH, fits
from harness.reporting.method_notes import short_of
from harness.reporting.scores import average_column, figure_column, score_columns
from harness.units import MIB, Unit, giga, mib, unit_for

# Parts of the split that have a column even where they are nothing at the peak.
ALWAYS_SHOWN = ("weights", "gradients", "optimizer", "activations")
FALLEN = 0.99  # of the peak; a last phase above it is worth no column
SHORT = 8  # characters of a baseline that a header names


def main_tables(comparison: Comparison) -> list[Table[Row]]:
    """Return one narrow table per model: scores, peak, its forecast, time, size of the adapter.

    Scores stand in it task by task where they fit, else as their average.
    """
    cost = _main_costs(comparison)
    name = words("method", _method)
    columns = [name, *score_columns(comparison), *cost]
    several = len(comparison.tasks) > 1
    if several and not fits(Table("", columns, comparison.rows), MAIN_WIDTH):
        columns = [name, average_column(alone=True), *cost]
    about = "" if several else f": {comparison.tasks[0]}"
    return [
        Table(model + about, columns, rows, short_of(r for row in rows for r in row.records))
        for model, rows in by_model(comparison).items()
    ]


def score_tables(comparison: Comparison) -> list[Table[Row]]:
    """Return the scores that the main table has only the average of, and folded every metric."""
    name = words("method", _method)
    main = main_tables(comparison)[0].columns
    shown = average_column().header not in {column.header for column in main[1:2]}
    found = [] if shown else [("scores", score_columns(comparison), False)]
    if any(len(record.reported) > 1 for record in comparison.records):
        found.append(("every metric", score_columns(comparison, all_metrics=True), True))
    return [
        Table(comparison.titled(model, title), [name, *columns], rows, folded=folded, aside=folded)
        for title, columns, folded in found
        for model, rows in by_model(comparison).items()
    ]


def split_tables(comparison: Comparison) -> list[Table[Row]]:
    """Return what holds the peak, by category."""
    unit = peak_unit(comparison.rows)
    columns: list[Column[Row]] = [words("method", _method), _peak_column("peak", unit)]
    columns += [
        memory(part, _part(part), unit) for part in SPLIT if _worth_a_column(part, comparison.rows)
    ]
    if any((_not_split(row) or 0) >= MIB for row in comparison.rows):
        columns.append(memory("not split", _not_split, unit))
    if len(comparison.tasks) > 1:
        columns.append(words("reached on", lambda row: row.peak_task))
    title = f"what holds the peak ({unit.name})"
    return [
        Table(
            comparison.titled(model, title),
            columns,
            rows,
            folded=True,
        )
        for model, rows in by_model(comparison).items()
    ]


def task_tables(comparison: Comparison) -> list[Table[Row]]:
    """Return the peak of each task, where there are several."""
    if len(comparison.tasks) < 2:
        return []
    unit = peak_unit(comparison.rows)
    columns = [words("method", _method), *(_task_column(t, unit) for t in comparison.tasks)]
    return [
        Table(
            comparison.titled(model, f"peak by task ({unit.name})"),
            columns,
            rows,
            folded=True,
            aside=True,
        )
        for model, rows in by_model(comparison).items()
    ]


def cost_tables(comparison: Comparison) -> list[Table[Row]]:
    """Return parameters, and FLOPs with time."""
    of_size = [words("method", _method), *_parameter_columns(comparison.rows)]
    of_work = [words("method", _method), *_work_columns(comparison)]
    return [
        Table(comparison.titled(model, title), columns, rows, folded=True, aside=True)
        for model, rows in by_model(comparison).items()
        for title, columns in (("parameters", of_size), ("FLOPs and time", of_work))
    ]


def whole_tables(comparison: Comparison) -> list[Table[Row]]:
    """Return one table per model with all columns, for machines."""
    rows = comparison.rows
    columns: list[Column[Row]] = [words("method", _method)]
    columns += [figure_column(comparison, task) for task in comparison.tasks]
    if len(comparison.tasks) > 1:
        columns.append(average_column())
    in_mib = Unit("MiB", mib)
    columns += [
        *_parameter_columns(rows),
        _peak_column("peak", in_mib),
        *(_forecast_column() for _ in rows[:1] if any(row.forecast for row in rows)),
        *(memory(part, _part(part), in_mib) for part in SPLIT if _worth_a_column(part, rows)),
        *_work_columns(comparison),
        quotient(f"step time/{comparison.baseline}", lambda row: row.relative_time),
        *_time_forecast_columns(rows),
    ]
    return [Table(model, columns, own) for model, own in by_model(comparison).items()]


def by_model(comparison: Comparison) -> dict[str, list[Row]]:
    """Return the rows of each model."""
    return {m: [row for row in comparison.rows if row.model == m] for m in comparison.models}


def peak_unit(rows: Sequence[Row]) -> Unit:
    """Return the unit that these rows' memory reads best in."""
    return unit_for(row.peak for row in rows if row.peak is not None)


def _main_costs(comparison: Comparison) -> list[Column[Row]]:
    unit = peak_unit(comparison.rows)
    columns = [_peak_to_last(f"peak {unit.name}", unit, comparison.rows)]
    if any(row.forecast for row in comparison.rows):
        columns.append(_forecast_column())
    base = comparison.baseline or ""
    header = f"time/{base}" if len(base) <= SHORT else "time ratio"
    header += "*" if any(row.shared for row in comparison.rows) else ""
    time: Column[Row] = quotient(header, lambda row: row.relative_time)
    foreseen = _time_forecast_columns(comparison.rows)
    adapter: Column[Row] = parameters("adapter", lambda row: row.adapter)
    return [*columns, time.which_is("less"), *foreseen, adapter.which_is("less")]


def _falls(row: Row) -> bool:
    """Tell whether freezing or taking out has left less than the run's peak."""
    return row.peak is not None and row.last is not None and row.last < FALLEN * row.peak


def _not_split(row: Row) -> int | None:
    return row.peak - sum(row.split.values()) if row.peak and row.split else None


def _method(row: Row) -> str:
    return row.method


def _peak_column(header: str, unit: Unit) -> Column[Row]:
    column: Column[Row] = memory(header, lambda row: row.peak, unit)
    return column.which_is("less").with_bar()


def _peak_to_last(header: str, unit: Unit, rows: Sequence[Row]) -> Column[Row]:
    """Return the peak and, where something froze or was taken out, the last phase's behind it."""
    peak = _peak_column(header, unit)
    if not any(map(_falls, rows)):
        return peak
    last: Column[Row] = memory("last phase", lambda r: r.last if _falls(r) else r.peak, unit)
    both = replace(change(header, peak, last), rank=lambda pair: pair[0])
    return both.which_is("less").with_bar()


def _forecast_column() -> Column[Row]:
    return number("forecast/peak", lambda row: row.forecast, _four_digits, "forecast/peak (ratio)")


def _time_forecast_columns(rows: Sequence[Row]) -> list[Column[Row]]:
    """Return forecast over measured step time, where a row has both."""
    if not any(row.time_forecast for row in rows):
        return []
    return [quotient("forecast/time", lambda row: row.time_forecast)]


def _parameter_columns(rows: Sequence[Row]) -> list[Column[Row]]:
    columns: list[Column[Row]] = [parameters("adapter", lambda row: row.adapter)]
    if any(row.adapter_mean != row.adapter for row in rows):
        columns.append(parameters("adapter, mean", lambda row: row.adapter_mean))
    return [
        *columns,
        count("head", lambda row: row.head, "head (parameters)"),
        parameters("stored", lambda row: row.stored),
    ]


def _work_columns(comparison: Comparison) -> list[Column[Row]]:
    return [
        number(_forward_header(comparison), lambda row: row.forward_flops, giga, "fwd (FLOP)"),
        teraflop("train TFLOP", lambda row: row.training_flops),
        number("step s", lambda row: row.step_seconds, _seconds, "step (s)"),
    ]


def _forward_header(comparison: Comparison) -> str:
    """Name the length that the forward pass is counted at, where it is one for all."""
    lengths = forward_lengths(r for r in comparison.records if r.outcome == "ok")
    one = lengths[0] if len(lengths) == 1 else None
    return "fwd GFLOP" if one in (None, IMAGE) else f"fwd GFLOP at {one}"


def _four_digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _worth_a_column(part: str, rows: Sequence[Row]) -> bool:
    return part in ALWAYS_SHOWN or any(row.split.get(part, 0) >= MIB for row in rows)


def _part(part: str) -> Callable[[Row], int | None]:
    return lambda row: row.split.get(part) if row.split else None


def _task_column(task: str, unit: Unit) -> Column[Row]:
    column: Column[Row] = memory(task, lambda row: row.peaks.get(task), unit)
    return column.which_is("less")
