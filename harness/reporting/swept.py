"""Forecasts at other batch sizes or lengths, as tables and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from harness.forecasting.result import AtValue, Forecast, Swept
from harness.reporting.columns import Column, Table, number, words
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
    return [
        table
        for what in get_args(Swept)
        if (table := _table(forecasts, what)).rows
    ]  # fmt: skip


def swept_notes(forecasts: Sequence[Forecast]) -> list[str]:
    """Say what the figures are, and what there is no figure of."""
    found = _found(forecasts)
    if not found:
        return []
    notes = [
        "Memory at other values: reserved by the stage and activity that need the most, each cell "
        "otherwise as it is (at another length every batch is padded to it); under a card: the "
        "largest of these values that fits, in brackets a larger one that is tight."
    ]
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
    writer.writerow(["cell", "gpu", "setting", "value", *headers])
    for cell, gpu, what, at in _found(forecasts):
        writer.writerow([cell, gpu, what, at.value, *(getattr(at, name) for name in FACTS)])
    return stream.getvalue()


def alike_cards(forecasts: Sequence[Forecast]) -> list[list[str]]:
    """Return the names of cards in groups for which every cell needs the same memory."""
    needs: dict[str, dict[tuple[str, str, str, int], int | None]] = {}
    for entry in forecasts:
        own = needs.setdefault(entry.gpu, {})
        own[entry.cell, entry.stage, "", 0] = entry.peak_reserved
        own |= {(entry.cell, "", what, at.value): at.reserved
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
            parts.setdefault(tuple(at.reserved for at in curve.values()), {})[gpu] = curve
        rows += [SweptRow(short[cell], part) for part in parts.values()]
    values = sorted({value for row in rows for curve in row.by_gpu.values() for value in curve})
    columns: list[Column[SweptRow]] = [words("cell", lambda row: row.name)]
    columns += [_value_column(value) for value in values]
    columns += [_up_to_column(gpu) for gpu in dict.fromkeys(f.gpu for f in forecasts)]
    return Table(f"GiB reserved by {what}{title}", columns, rows, folded=True)


def _value_column(value: int) -> Column[SweptRow]:
    return number(f"{value:,}", lambda row: row.at(value).reserved, gib, f"{value} reserved (B)")


def _up_to_column(gpu: str) -> Column[SweptRow]:
    return words(gpu, lambda row: _up_to(row.by_gpu.get(gpu)))


def _up_to(curve: Mapping[int, AtValue] | None) -> str | None:
    """Return the largest value that fits, and a larger one that is tight."""
    if curve is None:
        return None
    fits = max((value for value, at in curve.items() if at.fits == "fits"), default=0)
    tight = max((value for value, at in curve.items() if at.fits == "tight"), default=0)
    return (f"{fits:,}" if fits else "none") + (f" ({tight:,})" if tight > fits else "")
