"""The answer of `headroom fit` as tables and sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.fitting.answer import Answer, Row
from harness.fitting.limits import Limit
from harness.fitting.search import Found, OfKind
from harness.fitting.verdict import known_error
from harness.reporting.columns import Column, Table, number, words
from harness.units import GIB, gib

WIDE = 110  # columns of a terminal from which settings stand in the table


@dataclass(frozen=True)
class Numbered:
    """A row with its place and the fastest one."""

    place: int
    row: Row
    fastest: float | None

    @property
    def found(self) -> Found:
        """What was found."""
        return self.row.found

    @property
    def ratio(self) -> float | None:
        """Its step over the fastest row's."""
        own = self.found.seconds
        return own / self.fastest if own and self.fastest else None


def fit_tables(answer: Answer, wide: bool) -> list[Table[Any]]:
    """Return what fits and what does not; `wide`: with the settings in the table."""
    fastest = answer.rows[0].found.seconds if answer.rows else None
    rows = [Numbered(n, row, fastest) for n, row in enumerate(answer.rows, start=1)]
    asked = f"{answer.wanted.batch} x {answer.wanted.length:,} tokens a step"
    tables: list[Table[Any]] = []
    if rows:
        notes = [] if wide else [f"{each.place}: {_how(each.row)}" for each in rows]
        tables.append(Table(f"What fits: {asked}, the fastest first", _columns(wide), rows, notes))
    if answer.over:
        tables.append(Table(f"What does not: {asked}", _over_columns(), answer.over))
    return tables


def _columns(wide: bool) -> list[Column[Numbered]]:
    columns: list[Column[Numbered]] = [
        words("", lambda each: str(each.place)),
        words("method", lambda each: each.found.candidate.kind.title),
        *([words("settings", lambda each: _how(each.row))] if wide else []),
        number("step", lambda each: each.ratio, _ratio, "step over the fastest (ratio)"),
        number("ms", lambda each: each.found.seconds, milliseconds, "step (s)"),
        *([number("tokens/s", lambda each: _rate(each.found), _whole, "tokens/s")] if wide else []),
        number("GiB", lambda each: each.found.worst.device, gib, "device (B)"),
        number("left", lambda each: each.found.worst.margin, _signed, "margin (B)"),
        words("verdict", lambda each: each.found.verdict),
        _limit("batch", lambda each: each.row.batch),
        _limit("context", lambda each: each.row.length),
    ]
    return columns


def _limit(header: str, read: Callable[[Numbered], Limit]) -> Column[Numbered]:
    def show(limit: Limit) -> str:
        return f"{limit.value:,}{'*' * limit.all_there_is}" if limit.value else "-"

    return Column(header, read, show, {header: lambda limit: limit.value})


def _over_columns() -> list[Column[OfKind]]:
    return [
        words("method", lambda of: of.kind.title),
        number("GiB", lambda of: of.plain and of.plain.worst.device, gib, "device (B)"),
        number("left", lambda of: of.plain and of.plain.worst.margin, _signed, "margin (B)"),
        words("best single change", lambda of: _change(of)),
        words("all together", _leanest),
    ]


def _change(of: OfKind) -> str | None:
    if not of.changes:
        return None
    best = of.changes[0]
    return f"{', '.join(best.candidate.words)}: {_told(best)}"


def _leanest(of: OfKind) -> str | None:
    return _told(of.leanest) if of.leanest else None


def _told(found: Found) -> str:
    return f"{found.verdict} {_signed(found.worst.margin)}"


def _how(row: Row) -> str:
    """Return a row's settings."""
    said = row.found.candidate.words or ["as it is"]
    return ", ".join(said) + ("; the least memory" if row.leanest else "")


def fit_notes(answer: Answer) -> list[str]:
    """Say what the figures are, what they assume and what loading takes."""
    card = answer.wanted.card
    notes = [
        f"{answer.wanted.model.name} on {card.name} ({gib(card.usable)} GiB). GiB: reserved and "
        "CUDA context, by a full forecast of this row; left: of the card; batch: the largest of a "
        "forward pass that fits at this length; context: tokens of one example that fit in a pass "
        "of one. 1 GiB = 2^30 B.",
        _verdicts(answer),
    ]
    if any(row.length.all_there_is for row in answer.rows):
        notes.append(f"*: the model was made for {answer.positions:,} tokens.")
    host = ", ".join(f"{count / GIB:.1f} GiB in {kind}" for kind, count in answer.host.items())
    notes.append(f"Loading takes {host} of the host's memory, before the weights go to the card.")
    packages = _packages(answer)
    if packages:
        notes.append(f"To train: {', '.join(packages)}.")
    assumed = dict.fromkeys(text for row in answer.rows for text in row.found.worst.assumptions)
    if assumed:
        notes.append("Assumed: " + "; ".join(assumed))
    return notes + [f"error: {name}: {text}" for name, text in answer.errors.items()]


def _verdicts(answer: Answer) -> str:
    shares = {known_error(row.found.cell.method, row.found.cell.train) for row in answer.rows}
    shares |= {known_error(of.plain.cell.method, of.plain.cell.train)
               for of in answer.over if of.plain}  # fmt: skip
    listed = ", ".join(f"{100 * share:g} %" for share in sorted(shares))
    return (
        f"uncertain: within the forecast's known error of the card's end ({listed} of what is "
        "reserved, in 19 of 20 measured runs); tight: less than 3 % of the card left."
    )


def _packages(answer: Answer) -> list[str]:
    found: dict[str, None] = {}
    for row in answer.rows:
        train = row.found.cell.train
        if train.attention == "flash_attention_2":
            found["flash-attn needs its package"] = None
        if train.dtypes.quantised or "8bit" in train.optimizer or "paged" in train.optimizer:
            found["nf4 and 8-bit AdamW need bitsandbytes"] = None
    return list(found)


def milliseconds(seconds: float | None) -> str:
    """Format seconds in ms with three digits that mean something."""
    if seconds is None:
        return "-"
    value = 1000 * seconds
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _rate(found: Found) -> float | None:
    times = found.entries[0].times
    if times is None or not times.steps:
        return None
    return sum(s.tokens for s in times.steps) / sum(s.seconds for s in times.steps)


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _signed(count: int | None) -> str:
    if count is None:
        return "-"
    value = count / GIB
    return f"{value:+.1f}" if abs(value) >= 10 else f"{value:+.2f}"


def fit_data(answer: Answer) -> dict[str, Any]:
    """Return all of it for `--json`; bytes, seconds."""
    wanted = answer.wanted
    return {
        "model": wanted.model.name,
        "task": wanted.task,
        "gpu": wanted.card.name,
        "batch": wanted.batch,
        "length": wanted.length,
        "rows": [_row(row) for row in answer.rows],
        "does_not_fit": [_of_kind(of) for of in answer.over],
        "errors": answer.errors,
        "host_bytes": answer.host,
        "positions": answer.positions,
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        **_found(row.found),
        "leanest": row.leanest,
        "largest_batch": row.batch.value,
        "longest": row.length.value,
    }


def _of_kind(of: OfKind) -> dict[str, Any]:
    return {
        "plain": of.plain and _found(of.plain),
        "best_change": _found(of.changes[0]) if of.changes else None,
        "leanest": of.leanest and _found(of.leanest),
    }


def _found(found: Found) -> dict[str, Any]:
    candidate = found.candidate
    return {
        "label": candidate.label,
        "verdict": found.verdict,
        "known_error": known_error(found.cell.method, found.cell.train),
        "seconds": found.seconds,
        "examples": candidate.examples,
        "passes": candidate.passes,
        "settings": dict(candidate.settings),
        "forecasts": [entry.model_dump(mode="json") for entry in found.entries],
    }


def first_words(found: Found) -> str:
    """Return one line about a candidate that was just forecast."""
    candidate = found.candidate
    how = ", ".join(candidate.words) or "as it is"
    pace = f", {milliseconds(found.seconds)} ms" if found.seconds else ""
    return f"{candidate.kind.title} ({how}): {found.verdict}, {gib(found.worst.device)} GiB{pace}"


Telling = Callable[[Sequence[str]], None]
