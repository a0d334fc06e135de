"""The answer of `headroom fit` as tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.fitting.answer import Answer, Row
from harness.fitting.found import Found
from harness.fitting.limits import Limit
from harness.fitting.plans import OfKind
from harness.forecasting.step_time import MeanStep
from harness.reporting.columns import Column, Table, itself, number, words
from harness.units import GIB, gib, milliseconds, ratio

WIDE = 100  # columns of a terminal from which all columns have room


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
    """Return what fits and what does not; `wide`: with all columns."""
    fastest = answer.rows[0].found.step if answer.rows else None
    rows = [Numbered(n, row, fastest) for n, row in enumerate(answer.rows, start=1)]
    wanted = answer.wanted
    tables: list[Table[Any]] = []
    asked = f"{wanted.model.name} on {wanted.card.name}, {wanted.size}"
    if rows:
        order = "the fastest first" if fastest else "its speed is not known: the leanest first"
        notes = [f"{each.place}  {settings_of(each.row)}" for each in rows]
        tables.append(Table(f"What fits: {asked}; {order}", _columns(wide), rows, notes))
    if answer.over:
        title = "What does not, with plain settings"
        title = title if rows else f"Nothing fits: {asked}; with plain settings"
        helps = [f"{of.kind.title}: {_help(of)}." for of in answer.over]
        tables.append(Table(title, _over_columns(), answer.over, helps))
    return tables


def _columns(wide: bool) -> list[Column[Numbered]]:
    columns: list[Column[Numbered] | None] = [
        words("#", lambda each: str(each.place)),
        words("method", lambda each: each.found.candidate.kind.title),
        Column("step", itself, _ratio, {"step over the fastest (ratio)": lambda each: each.ratio}),
        Column("ms", _found, _milliseconds, {"step (s)": lambda found: found.seconds}),
        words("binds", lambda each: _binds(each.found.step)) if wide else None,
        Column("tokens/s", _found, _rate, {"tokens/s": _tokens}) if wide else None,
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
        number("GiB", lambda of: _short(of).worst.device, gib, "device (B)"),
        number("left", lambda of: _short(of).worst.margin, signed, "margin (B)"),
        words("verdict", lambda of: _short(of).verdict),
    ]


def _help(of: OfKind) -> str:
    """Return what helps a kind that does not fit as it is."""
    if of.plain is None:
        how = ", ".join(_short(of).candidate.words)
        return f"no forecast of the plain settings; the row is {how}"
    if of.change is None:
        return "no single change helps"
    text = f"the change that helps most: {_told(of.change)}"
    if of.leanest is None or of.leanest.candidate == of.change.candidate:
        return text
    return f"{text}; the least that it can need: {_told(of.leanest)}"


def _short(of: OfKind) -> Found:
    assert of.short is not None
    return of.short


def _told(found: Found) -> str:
    """Return a candidate's settings, verdict, margin and step in one line."""
    how = ", ".join(found.candidate.words)
    return f"{how}: {in_words(found)}"


def in_words(found: Found) -> str:
    """Return a verdict, how much is left or missing, and the step's time."""
    margin = found.worst.margin or 0
    room = f"{_two_digits(abs(margin))} GiB {'left' if margin >= 0 else 'over'}"
    time = f", {_milliseconds(found)} ms a step" if found.step else ""
    return f"{found.verdict}, {room}{time}"


def settings_of(row: Row) -> str:
    """Return what is not plain about a row."""
    said = ", ".join(row.found.candidate.words) or "plain"
    return f"{said} (least memory)" if row.leanest else said


def _found(row: Numbered) -> Found:
    return row.found


def _ratio(row: Numbered) -> str:
    return _bounded(row.found, ratio(row.ratio))


def _milliseconds(found: Found) -> str:
    return _bounded(found, milliseconds(found.seconds))


def _bounded(found: Found, text: str) -> str:
    return f">={text}" if found.at_least and text != "-" else text


def _binds(step: MeanStep | None) -> str | None:
    return step.bar.binds if step else None


def _tokens(found: Found) -> float | None:
    return found.step.tokens_per_second if found.step else None


def _rate(found: Found) -> str:
    rate = _tokens(found)
    return "-" if rate is None else f"{'<=' * bool(found.at_least)}{rate:,.0f}"


def signed(count: int | None) -> str:
    """Format bytes of a margin in GiB."""
    if count is None:
        return "-"
    return f"{'-' if count < 0 else '+'}{_two_digits(abs(count))}"


def _two_digits(count: int) -> str:
    value = count / GIB
    return f"{value:,.1f}" if value >= 10 else f"{value:.2f}"
