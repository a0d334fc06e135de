"""The report of a forecast: Markdown with figures, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import durable
from harness.reporting.columns import Column, Table, words
from harness.reporting.comparison import SPLIT
from harness.reporting.explained import explanation_data, explanation_notes, explanation_tables
from harness.reporting.figures import figure as figures
from harness.reporting.figures.figure import Figure
from harness.reporting.figures.of_forecasts import conditions, figures_of_forecasts
from harness.reporting.figures.step_bars import step_figures
from harness.reporting.figures.timelines import timeline_figures
from harness.reporting.forecasts import (
    ForecastRow,
    forecast_notes,
    forecast_table,
    without_equal_seeds,
)
from harness.reporting.inline import code, literal, prose
from harness.reporting.markdown import bullets, folded, grids, picture, titled
from harness.reporting.page.chapter import Chapter
from harness.reporting.page.page import page
from harness.reporting.published import published_of_forecasts
from harness.reporting.run_times import run_time_notes, run_time_tables
from harness.reporting.stage_names import stage_of
from harness.reporting.step_times import (
    step_time_notes,
    step_time_tables,
    times_flat,
)
from harness.reporting.swept import swept_csv, swept_notes, swept_tables
from harness.reporting.two_cells import against_data, against_notes, against_tables
from harness.suite.assumed import sentences

if TYPE_CHECKING:
    from harness.forecasting.against import Against
    from harness.forecasting.explain import Explanation
    from harness.forecasting.result import Forecast
    from harness.simulation.timeline import Timeline
    from harness.suite.suite import Suite

MARKDOWN = "report.md"
# Columns that say why, and not which: below the main table, closed.
WHY = ("reserved", "at rest", *SPLIT)


@dataclass(frozen=True)
class ForecastReport:
    """All that is written, before any of it is.

    Attributes:
        command: that makes it.
        description: of the suite, as its file has it.
        overridden: the command changes what the file says.
        texts: further files, by name.
    """

    title: str
    command: str
    description: str = ""
    overridden: bool = False
    figures: Sequence[Figure] = ()
    tables: Sequence[Table[Any]] = ()
    notes: Sequence[str] = ()
    texts: Mapping[str, str] = field(default_factory=dict)


def report_of_forecasts(
    suite: Suite, overridden: bool, command: str, forecasts: Sequence[Forecast]
) -> ForecastReport:
    """Make the report of at least one forecast; `overridden`: the suite is not as its file is."""
    distinct = without_equal_seeds(forecasts)
    seeds = "" if len(distinct) == len(forecasts) else "Seeds that need the same share a row."
    swept = swept_tables(distinct)
    content = suite.model_dump(mode="json")
    beside = [] if swept else published_of_forecasts(content, distinct, another=overridden)
    tables: list[Table[Any]] = [
        *_tables(distinct),
        *step_time_tables(distinct),
        *run_time_tables(distinct),
        *swept,
        *beside,
    ]
    notes = [
        *filter(None, [seeds]),
        *forecast_notes(forecasts),
        *step_time_notes(forecasts),
        *run_time_notes(forecasts),
        *swept_notes(distinct),
        *sentences(content),
    ]
    title = f"Forecast of {suite.name}"
    chapter = Chapter(distinct, title, suite.description, tables=tables, facts=notes)
    return ForecastReport(
        title=title,
        description=suite.description,
        overridden=overridden,
        command=command,
        figures=[*figures_of_forecasts(distinct), *step_figures(distinct)],
        tables=tables,
        notes=notes,
        texts={
            "report.html": page(title, [chapter]),
            "forecast.csv": forecast_csv(forecasts),
            "forecast.json": as_json([entry.model_dump(mode="json") for entry in forecasts]),
            **({"sweeps.csv": swept_csv(forecasts)} if swept else {}),
        },
    )


def report_of_explanation(
    command: str, explanation: Explanation, timeline: Timeline
) -> ForecastReport:
    """Make the report of what holds a cell's peak, with the course of one step."""
    cell, entries = explanation.cell.path, list(explanation.entries.values())
    held, *changes = explanation_tables(explanation)
    return ForecastReport(
        title=f"What holds the peak of {cell}",
        command=command,
        figures=timeline_figures(timeline, cell, conditions(entries[:1])),
        tables=[held, *changes],
        notes=explanation_notes(explanation),
        texts={
            "explanation.json": as_json(explanation_data(explanation)),
            "timeline.csv": timeline_csv(timeline),
        },
    )


def report_of_two(command: str, found: Against) -> ForecastReport:
    """Make the report of one cell held against another."""
    ours, theirs = (cell.path for cell in found.cells)
    return ForecastReport(
        title=f"{ours} against {theirs}",
        command=command,
        tables=against_tables(found),
        notes=against_notes(found),
        texts={"against.json": as_json(against_data(found))},
    )


def _tables(forecasts: Sequence[Forecast]) -> list[Table[ForecastRow]]:
    """Return what tells which fits, and the split.

    The first column names the stage, too: a wide table is cut, and each part begins with it.
    """
    table = forecast_table(forecasts)
    columns = [column for column in table.columns if column.header not in ("cell", "stage")]
    names: Column[ForecastRow] = words("cell", lambda row: stage_of(row.name, row.entry.stage))
    which = [column for column in columns if column.header not in WHY]
    why = [column for column in columns if column.header in WHY]
    return [
        replace(table, columns=[names, *which]),
        replace(table, title="Split at the peak, GiB", columns=[names, *why], folded=True),
    ]


def render(report: ForecastReport) -> str:
    """Return the report as Markdown."""
    return "\n\n".join(_blocks(report)) + "\n"


def _blocks(report: ForecastReport) -> Iterator[str]:
    yield f"# {literal(report.title)}"
    yield code(report.command)
    if report.description:
        said = "\n".join(map(literal, report.description.strip().split("\n")))
        changed = f"The suite's file says: *{said}* The command's overrides changed it."
        yield changed if report.overridden else said
    for figure in report.figures:
        yield from picture(figure)
    for table in report.tables:
        if table.folded:
            yield from folded(table.title, grids(table))
        else:
            yield from titled(table, "##")
    yield bullets(map(prose, report.notes))


def write(report: ForecastReport, folder: Path) -> None:
    """Write the report's files and name them.

    Raises:
        OSError: a file cannot be written.
    """
    for name, text in {**report.texts, MARKDOWN: render(report)}.items():
        durable.write_text(folder / name, text)
    drawn = figures.write(report.figures, folder)
    print(f"report: {folder / MARKDOWN}, {', '.join(report.texts)}, {len(drawn)} figures' files")


def forecast_csv(forecasts: Sequence[Forecast]) -> str:
    """Return a row per cell, card and stage: every figure that is a number or a word."""
    rows = [_flat(entry) for entry in forecasts]
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


# Fields in bytes, and dictionaries of bytes.
BYTES = ("peak_allocated", "peak_reserved", "peak_expandable", "at_rest", "saved_activations",
         "device", "usable", "margin")  # fmt: skip
PLAIN = ("cell", "method", "model", "task", "gpu", "stage", "fits", "fits_expandable", "decides",
         "adapter_trainable", "head_trainable", "adapter_stored", "total_parameters",
         "flops_forward", "flops_step", "error")  # fmt: skip


def _flat(entry: Forecast) -> dict[str, Any]:
    return {
        **{name: getattr(entry, name) for name in PLAIN},
        "steps": " ".join("x".join(map(str, step)) for step in entry.steps),
        **{f"{name} (B)": getattr(entry, name) for name in BYTES},
        **{f"split {name} (B)": size for name, size in entry.split.items()},
        **times_flat(entry),
        **entry.choices,
    }


def timeline_csv(timeline: Timeline) -> str:
    """Return a row per point."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    series = {
        "allocated (B)": timeline.allocated,
        "reserved (B)": timeline.reserved,
        **{f"{name} (B)": sizes for name, sizes in timeline.categories.items()},
        **{f"at {name or 'no module'} (B)": sizes for name, sizes in timeline.places.items()},
    }
    writer.writerow(["event", "part", *series])
    for number, values in zip(timeline.numbers, zip(*series.values(), strict=True), strict=True):
        begun = [name for name, start in timeline.parts if start <= number]
        writer.writerow([number, begun[-1] if begun else "inputs", *values])
    return stream.getvalue()


def as_json(content: object) -> str:
    """Return all figures, as `--json` has them."""
    return json.dumps(content, indent=1) + "\n"
