"""Forecasts at other batch sizes or lengths, as tables and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from harness.forecasting.result import AtValue, Forecast, Swept
from harness.reporting.columns import Column, Table, count, number, words
from harness.reporting.devices import heads
from harness.reporting.forecasts import without_common_parts
from harness.units import gib

FACTS = ("fits", "allocated", "reserved", "device", "margin", "stage", "decides", "examples",
         "error")  # fmt: skip
BYTES = {"allocated", "reserved", "device", "margin"}


@dataclass(frozen=True)
class SweptRow:
    """One cell on the cards for which it reserves the same.

    Attributes:
        name: what tells it from the other cells.
        by_gpu: at each value, on each card.
    """

    name: str
    by_gpu: Mapping[str, Mapping[int, AtValue]]

    def at(self, value: int) -> AtValue:
        """Return what is forecast at a value, on any of the cards."""
        return next(iter(self.by_gpu.values()))[value]


def swept_tables(forecasts: Sequence[Forecast]) -> list[Table[SweptRow]]:
    """Return one table per setting that was varied, with the largest value that fits."""
    tables: list[Table[SweptRow]] = []
    for what in get_args(Swept):
        table = _table(forecasts, what)
        if table.rows:
            tables += [table, *_speed_tables(forecasts, what)]
    return tables


def swept_notes(forecasts: Sequence[Forecast]) -> list[str]:
    """Say what the figures are, and what there is no figure of."""
    found = _found(forecasts)
    if not found:
        return []
    notes = [
        "Memory at other values: reserved by the stage and activity that need the most, each cell "
        "otherwise as it is (on the CPU allocated; at another length every batch is padded to it); "
        "under a card: the largest of these values that fits, in brackets a larger one that is "
        "tight."
    ]
    if any(at.step for *_, at in found):
        notes.append("Tokens a second: padding counted, of the stage that a run begins with.")
    failed: dict[tuple[Swept, int, str], list[str]] = {}
    for cell, _, what, at in found:
        if at.error:
            failed.setdefault((what, at.value, at.error), []).append(cell)
    for (what, value, error), cells in failed.items():
        some = list(dict.fromkeys(cells))
        more = f" and {len(some) - 1} more" if len(some) > 1 else ""
        notes.append(f"error: {some[0]}{more} with {what} {value:,}: {error}")
    rows = {cell: at.examples for cell, _, _, at in found if at.examples}
    return notes + [f"{cell}: there are {count} rows, and no larger batch."
                    for cell, count in rows.items()]  # fmt: skip


def swept_csv(forecasts: Sequence[Forecast]) -> str:
    """Return a row per cell, card, setting and value."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    headers = [f"{name} (B)" if name in BYTES else name for name in FACTS]
    writer.writerow(["cell", "gpu", "setting", "value", *headers, "step (s)", "tokens/s"])
    for cell, gpu, what, at in _found(forecasts):
        time = [at.step.seconds, at.step.tokens_per_second] if at.step else [None, None]
        writer.writerow([cell, gpu, what, at.value, *(getattr(at, name) for name in FACTS), *time])
    return stream.getvalue()


def alike_cards(forecasts: Sequence[Forecast]) -> list[list[str]]:
    """Return the names of cards in groups for which every cell needs the same memory."""
    needs: dict[str, dict[tuple[str, str, str, int], int | None]] = {}
    for entry in forecasts:
        own = needs.setdefault(entry.gpu, {})
        reserved = entry.peak_reserved
        own[entry.cell, entry.stage, "", 0] = entry.peak_allocated if reserved is None else reserved
        own |= {(entry.cell, "", what, at.value): at.needed
                for what, points in entry.sweeps.items() for at in points}  # fmt: skip
    groups: list[list[str]] = []
    for gpu, own in needs.items():
        group = next((group for group in groups if needs[group[0]] == own), None)
        if group is None:
            groups.append([gpu])
        else:
            group.append(gpu)
    return groups


def _found(forecasts: Iterable[Forecast]) -> list[tuple[str, str, Swept, AtValue]]:
    """Return every cell, card, setting and point once: the stages of a cell share them."""
    sweeps = {(entry.cell, entry.gpu): entry.sweeps for entry in forecasts}
    return [
        (cell, gpu, what, at)
        for (cell, gpu), swept in sweeps.items()
        for what, points in swept.items()
        for at in points
    ]


def _table(forecasts: Sequence[Forecast], what: Swept) -> Table[SweptRow]:
    points: dict[str, dict[str, dict[int, AtValue]]] = {}
    for cell, gpu, other, at in _found(forecasts):
        if other == what:
            points.setdefault(cell, {}).setdefault(gpu, {})[at.value] = at
    short, title = without_common_parts(points)
    rows = []
    for cell, by_gpu in points.items():
        parts: dict[tuple[int | None, ...], dict[str, dict[int, AtValue]]] = {}
        for gpu, curve in by_gpu.items():
            parts.setdefault(tuple(at.needed for at in curve.values()), {})[gpu] = curve
        rows += [SweptRow(short[cell], part) for part in parts.values()]
    values = sorted({value for row in rows for curve in row.by_gpu.values() for value in curve})
    columns: list[Column[SweptRow]] = [words("cell", lambda row: row.name)]
    columns += [_value_column(value) for value in values]
    columns += [_up_to_column(*pair) for pair in heads(f.gpu for f in forecasts).items()]
    return Table(f"GiB reserved by {what}{title}", columns, rows, folded=True)


def _speed_tables(forecasts: Sequence[Forecast], what: Swept) -> list[Table[SweptRow]]:
    """Return the tokens a second on each card with a datasheet: cards differ where bytes do not."""
    tables = []
    for gpu in dict.fromkeys(entry.gpu for entry in forecasts):
        curves = {
            cell: {at.value: at for _, _, other, at in _found(own) if other == what}
            for cell in dict.fromkeys(entry.cell for entry in forecasts)
            if (own := [e for e in forecasts if e.cell == cell and e.gpu == gpu])
        }
        timed = {c: curve for c, curve in curves.items() if any(at.step for at in curve.values())}
        short, title = without_common_parts(timed)
        rows = [SweptRow(short[cell], {gpu: curve}) for cell, curve in timed.items()]
        values = sorted({value for curve in timed.values() for value in curve})
        columns: list[Column[SweptRow]] = [words("cell", lambda row: row.name)]
        columns += [_speed_column(value) for value in values]
        if rows:
            title = f"Tokens a second on {gpu} by {what}{title}"
            tables.append(Table(title, columns, rows, folded=True))
    return tables


def _speed_column(value: int) -> Column[SweptRow]:
    def speed(row: SweptRow) -> int | None:
        step = row.at(value).step
        return round(step.tokens_per_second) if step else None

    return count(f"{value:,}", speed, f"{value} (tokens/s)")


def _value_column(value: int) -> Column[SweptRow]:
    return number(f"{value:,}", lambda row: row.at(value).needed, gib, f"{value} reserved (B)")


def _up_to_column(gpu: str, head: str) -> Column[SweptRow]:
    return words(head, lambda row: _up_to(row.by_gpu.get(gpu)))


def _up_to(curve: Mapping[int, AtValue] | None) -> str | None:
    """Return the largest value that fits, and a larger one that is tight."""
    if curve is None:
        return None
    fits = max((value for value, at in curve.items() if at.fits == "fits"), default=0)
    tight = max((value for value, at in curve.items() if at.fits == "tight"), default=0)
    return (f"{fits:,}" if fits else "none") + (f" ({tight:,})" if tight > fits else "")
