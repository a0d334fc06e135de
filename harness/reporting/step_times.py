"""Forecast step times as a table per card: the ratio to a baseline first, seconds second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.forecasting.result import Forecast
from harness.forecasting.step_time import MeanStep
from harness.reporting.columns import Column, Table, count, itself, number, words
from harness.reporting.devices import on_cpu
from harness.reporting.forecasts import without_common_parts
from harness.reporting.stage_names import stage_of
from harness.timing.bar import at_least_text, bar_text, ratio_bar, rule
from harness.units import milliseconds, ratio

BASELINES = ("full", "lora")  # the first that is there; else the first method
SHORT = 8  # characters of a baseline that a header names


@dataclass(frozen=True)
class TimeRow:
    """One cell's stage on one card.

    Attributes:
        name: what tells it from the other rows, with its stage.
        base: the baseline's first stage on the same card, model and task; None: there is none.
        entry: this one.
    """

    name: str
    base: Forecast | None
    entry: Forecast

    @property
    def step(self) -> MeanStep | None:
        """Its step."""
        return self.entry.step_time

    @property
    def base_step(self) -> MeanStep | None:
        """The baseline's."""
        return self.base.step_time if self.base else None


def step_time_tables(forecasts: Sequence[Forecast]) -> list[Table[TimeRow]]:
    """Return one table per card with a datasheet, of the cells that have a forecast there."""
    timed = [entry for entry in forecasts if entry.step_time]
    short, tail = without_common_parts(dict.fromkeys(entry.cell for entry in timed))
    tables = []
    for gpu in dict.fromkeys(entry.gpu for entry in timed):
        own = [entry for entry in timed if entry.gpu == gpu]
        bases, name = _baselines(own)
        rows, before = [], ""
        for entry in own:
            first, before = entry.cell != before, entry.cell
            label = stage_of(short[entry.cell] if first else "", entry.stage)
            rows.append(TimeRow(label, bases.get((entry.model, entry.task)), entry))
        tables.append(Table(f"Step time on {gpu}{tail}", _columns(name), rows))
    return tables


def step_time_notes(forecasts: Sequence[Forecast]) -> list[str]:
    """Say what the times are, how far they may be off, and where there is none.

    Of a CPU that was not calibrated its own entries say so.
    """
    timed = [entry for entry in forecasts if entry.step_time]
    none = dict.fromkeys(f.gpu for f in forecasts if not (f.error or f.step_time or on_cpu(f)))
    notes = [f"No time on {', '.join(none)}: no datasheet of its speed is known."] if none else []
    if not timed:
        return notes
    cpu = " (on the CPU: with this machine's constants)" if any(on_cpu(f) for f in timed) else ""
    notes = [
        "Step time: of a whole optimizer step, the mean over the run's steps as far as their "
        "lengths are known; host and device: what each has to do, the larger one binds; tokens: "
        f"padding counted, an image as one; forecast from datasheets, with no GPU{cpu}. {rule()}",
        *notes,
    ]
    bases = dict.fromkeys(
        _baselines([e for e in timed if e.gpu == gpu])[1]
        for gpu in dict.fromkeys(e.gpu for e in timed)
    )
    if any(len(base) > SHORT for base in bases):
        notes.append(f"Time ratio: to {'/'.join(bases)}.")
    lower = dict.fromkeys(name for e in timed if e.step_time for name in e.step_time.at_least)
    if lower:
        notes.append(f"Step times {at_least_text(list(lower))}.")
    return notes


def _baselines(own: Sequence[Forecast]) -> tuple[dict[tuple[str, str], Forecast], str]:
    """Return the entry that each model and task is compared with on one card, and its name."""
    names = list(dict.fromkeys(entry.method for entry in own))
    name = next((n for kind in BASELINES for n in names if n.split("-")[0] == kind), names[0])
    bases: dict[tuple[str, str], Forecast] = {}
    for entry in own:
        if entry.method == name:
            bases.setdefault((entry.model, entry.task), entry)
    return bases, name


def relative(row: TimeRow) -> float | None:
    """Return a row's step time over its baseline's."""
    ours, base = row.step, row.base_step
    return ours.seconds / base.seconds if ours and base and base.seconds else None


def _columns(base: str) -> list[Column[TimeRow]]:
    return [
        words("cell", lambda row: row.name),
        _ratio_column(f"time/{base}" if len(base) <= SHORT else "time ratio"),
        _step_column(),
        number("host ms", lambda row: row.step.host if row.step else None, milliseconds,
               "host (s)"),
        number("device ms", lambda row: row.step.device if row.step else None, milliseconds,
               "device (s)"),
        words("binds", lambda row: row.step.bar.binds if row.step else None),
        count("tokens/s", lambda row: round(row.step.tokens_per_second) if row.step else None,
              "tokens/s"),
    ]  # fmt: skip


def _ratio_column(header: str) -> Column[TimeRow]:
    """Return the ratio with its error bar; that of the baseline to itself has none."""

    def bar(row: TimeRow) -> float | None:
        ours, base = row.step, row.base_step
        return ratio_bar(ours.bar, base.bar) if ours and base and ours is not base else None

    def show(row: TimeRow) -> str:
        value, of = relative(row), bar(row)
        if value is None:
            return "-"
        sure = not (row.base_step and row.base_step.at_least)
        lower = bool(sure and row.step and row.step.at_least)
        return f"{'≥' if lower else ''}{ratio(value)}{f' {bar_text(of)}' if of else ''}"

    figures = {f"{header} (ratio)": relative, f"{header} bar (fraction)": bar}
    return Column(header, itself, show, figures, rank=relative)


def _step_column() -> Column[TimeRow]:
    return Column(
        "step ms",
        itself,
        lambda row: step_text(row.entry),
        {"step (s)": lambda row: row.step.seconds if row.step else None,
         "step bar (fraction)": lambda row: row.step.bar.absolute if row.step else None},
    )  # fmt: skip


def step_text(entry: Forecast) -> str:
    """Return a step time in ms with its error bar, or as a lower bound; `-` where there is none."""
    step = entry.step_time
    if step is None:
        return "-"
    value = milliseconds(step.seconds)
    return f"≥{value}" if step.at_least else f"{value} {bar_text(step.bar.absolute)}"


def times_flat(entry: Forecast) -> dict[str, Any]:
    """Return the seconds of an entry, where its card has any."""
    step, run = entry.step_time, entry.run_time
    if step is None:
        return {}
    return {
        "step (s)": step.seconds,
        "step of median size (s)": step.median,
        "host (s)": step.host,
        "device (s)": step.device,
        "binds": step.bar.binds,
        "step bar (fraction)": step.bar.absolute,
        "step ratio bar (fraction)": step.bar.ratio,
        "tokens/s": step.tokens_per_second,
        "at least": " ".join(step.at_least),
        "run (s)": run and run.seconds,
        "energy at most (J)": run and run.energy,
    }
