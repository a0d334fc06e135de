"""The answer of `headroom fit` as tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.fitting.answer import Answer, Row
from harness.fitting.found import Found
from harness.fitting.limits import Limit
from harness.fitting.plans import OfKind
from harness.forecasting.result import Forecast
from harness.forecasting.step_time import MeanStep
from harness.reporting.columns import Column, Table, number, words
from harness.units import GIB, gib, milliseconds, ratio

WIDE = 110  # columns of a terminal from which settings stand in the table


@dataclass(frozen=True)
class Numbered:
    """A row with its place, and the step of the fastest one."""

    place: int
    row: Row
    fastest: MeanStep | None

    @property
    def found(self) -> Found:
        """What was found."""
        return self.row.found

    @property
    def ratio(self) -> float | None:
        """Its step over the fastest row's."""
        own = self.found.step
        return own.seconds / self.fastest.seconds if own and self.fastest else None


def fit_tables(answer: Answer, *, wide: bool) -> list[Table[Any]]:
    """Return what fits and what does not; `wide`: with the settings in the table."""
    fastest = answer.rows[0].found.step if answer.rows else None
    rows = [Numbered(n, row, fastest) for n, row in enumerate(answer.rows, start=1)]
    wanted = answer.wanted
    tables: list[Table[Any]] = []
    asked = f"{wanted.model.name} on {wanted.card.name}, {wanted.size}"
    if rows:
        order = "the fastest first" if fastest else "its speed is not known: the leanest first"
        notes = [] if wide else [f"{each.place}  {settings_of(each.row)}" for each in rows]
        tables.append(Table(f"What fits: {asked}; {order}", _columns(wide), rows, notes))
    if answer.over:
        title = f"What does not{'' if rows else f': {asked}'}"
        tables.append(Table(title, _over_columns(), answer.over))
    return tables


def _columns(wide: bool) -> list[Column[Numbered]]:
    columns: list[Column[Numbered] | None] = [
        words("#", lambda each: str(each.place)),
        words("method", lambda each: each.found.candidate.kind.title),
        words("settings", lambda each: settings_of(each.row)) if wide else None,
        number("step", lambda each: each.ratio, ratio, "step over the fastest (ratio)"),
        Column(
            "ms",
            lambda each: each.found.step,
            _milliseconds,
            {"step (s)": lambda step: step and step.seconds},
        ),
        words("binds", lambda each: _binds(each.found.step)) if wide else None,
        Column(
            "tokens/s",
            lambda each: each.found.step,
            _rate,
            {"tokens/s": lambda step: step and step.tokens_per_second},
        )
        if wide
        else None,
        number("GiB", lambda each: each.found.worst.device, gib, "device (B)"),
        number("left", lambda each: each.found.worst.margin, signed, "margin (B)"),
        words("verdict", lambda each: each.found.verdict),
        _limit("batch", lambda each: each.row.batch),
        _limit("context", lambda each: each.row.length),
    ]
    return [column for column in columns if column is not None]


def _limit(header: str, read: Callable[[Numbered], Limit]) -> Column[Numbered]:
    def show(limit: Limit) -> str:
        return f"{limit.value:,}{'*' * limit.all_there_is}" if limit.value else "-"

    return Column(header, read, show, {header: lambda limit: limit.value})


def _over_columns() -> list[Column[OfKind]]:
    return [
        words("method", lambda of: of.kind.title),
        number("plain, GiB", lambda of: _plain(of).device, gib, "device (B)"),
        number("left", lambda of: _plain(of).margin, signed, "margin (B)"),
        words("the change that helps most", lambda of: _told(of.change)),
        words("the least that it can need", lambda of: _told(of.leanest)),
    ]


def _plain(of: OfKind) -> Forecast:
    assert of.plain is not None
    return of.plain.worst


def _told(found: Found | None) -> str | None:
    """Return a candidate's settings, verdict, margin and step in one line."""
    if found is None:
        return None
    time = f", {milliseconds(found.step.seconds)} ms" if found.step else ""
    how = ", ".join(found.candidate.words)
    return f"{how}: {found.verdict} {signed(found.worst.margin)}{time}"


def settings_of(row: Row) -> str:
    """Return what is not plain about a row."""
    said = ", ".join(row.found.candidate.words) or "plain"
    return f"{said} (least memory)" if row.leanest else said


def _milliseconds(step: MeanStep | None) -> str:
    if step is None:
        return "-"
    return f"{'>=' * bool(step.at_least)}{milliseconds(step.seconds)}"


def _binds(step: MeanStep | None) -> str | None:
    return step.bar.binds if step else None


def _rate(step: MeanStep | None) -> str:
    return f"{step.tokens_per_second:,.0f}" if step else "-"


def signed(count: int | None) -> str:
    """Format bytes of a margin in GiB."""
    if count is None:
        return "-"
    value = count / GIB
    return f"{value:+.1f}" if abs(value) >= 10 else f"{value:+.2f}"
