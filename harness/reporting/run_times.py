"""The time of whole runs as a table per card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.forecasting.result import Forecast
from harness.forecasting.run_time import RunTime
from harness.reporting.columns import Column, Table, count, number, words
from harness.reporting.forecasts import without_common_parts
from harness.timing.bar import bar_text
from harness.units import duration, watt_hours


@dataclass(frozen=True)
class RunRow:
    """One cell's whole run on one card."""

    name: str
    run: RunTime


def run_time_tables(forecasts: Sequence[Forecast]) -> list[Table[RunRow]]:
    """Return the time of whole runs on each card, where the number of their steps is known."""
    runs = {(e.cell, e.gpu): e.run_time for e in forecasts if e.run_time}
    short, tail = without_common_parts(dict.fromkeys(cell for cell, _ in runs))
    tables = []
    for gpu in dict.fromkeys(gpu for _, gpu in runs):
        rows = [RunRow(short[cell], run) for (cell, own), run in runs.items() if own == gpu]
        tables.append(Table(f"Time of a run on {gpu}{tail}", _run_columns(rows), rows))
    return tables


def _run_columns(rows: Sequence[RunRow]) -> list[Column[RunRow]]:
    columns: list[Column[RunRow]] = [
        words("cell", lambda row: row.name),
        count("steps", lambda row: row.run.steps, "steps"),
        Column(
            "run",
            lambda row: row.run,
            _with_bar,
            {"run (s)": lambda run: run.seconds, "run bar (fraction)": lambda run: run.error_bar},
        ),
        number("training", lambda row: row.run.training, duration, "training (s)"),
        number("evaluation", lambda row: row.run.evaluation, duration, "evaluation (s)"),
    ]
    if any(row.run.probes for row in rows):
        columns.append(number("probes", lambda row: row.run.probes, duration, "probes (s)"))
    if any(row.run.fastest < row.run.slowest for row in rows):
        columns.append(Column(
            "all in one stage",
            lambda row: (row.run.fastest, row.run.slowest),
            lambda pair: "-" if pair[0] == pair[1] else " to ".join(map(duration, pair)),
            {"fastest (s)": lambda pair: pair[0], "slowest (s)": lambda pair: pair[1]},
        ))  # fmt: skip
    power: Column[RunRow] = number(
        "energy", lambda row: row.run.energy, watt_hours, "energy at most (J)"
    )
    return [*columns, power]


def _with_bar(run: RunTime) -> str:
    if run.at_least:
        return f"≥{duration(run.seconds)}"
    return f"{duration(run.seconds)} {bar_text(run.error_bar)}"


def run_time_notes(forecasts: Sequence[Forecast]) -> list[str]:
    """Say what a run's time is made of, and what was assumed."""
    timed = [entry for entry in forecasts if entry.step_time]
    if not timed:
        return []
    whole = [entry.run_time for entry in timed if entry.run_time]
    if not whole:
        return [
            "No time of a run: neither data nor max_steps say how many steps it has (of batches "
            "padded to max_length no data is read)."
        ]
    notes = [
        "Run: training by the method's schedule, evaluation and probes; loading, metering and "
        "saving are not in it. All in one stage: training, were all its steps those of the fastest "
        "or of the slowest stage. Energy: the card's power as sold all the time, an upper bound of "
        "the card alone."
    ]
    if any(run.evaluation is None for run in whole):
        notes.append("Evaluation without a time is of unknown rows, and not in the run.")
    assumed = dict.fromkeys(text for run in whole for text in run.assumed)
    if assumed:
        notes.append(f"Assumed of a run's time: {'; '.join(assumed)}.")
    return notes
