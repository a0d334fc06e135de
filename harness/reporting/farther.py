"""`--solve` and `--frontier` of `headroom fit` as tables, notes and data."""

from __future__ import annotations

from typing import Any

from harness.fitting.solve import Farther
from harness.forecasting.frontier import OnFrontier
from harness.forecasting.result import AtValue
from harness.forecasting.solving import Solved
from harness.reporting.columns import Column, Table, words
from harness.units import gib, milliseconds


def farther_tables(found: Farther, row: int) -> list[Table[Any]]:
    """Return the tables of one row of the answer."""
    tables: list[Table[Any]] = []
    if found.solved is not None:
        solved = found.solved
        columns: list[Column[tuple[str, AtValue | None]]] = [
            words("", lambda pair: pair[0]),
            words(solved.what, lambda pair: _value(pair[1])),
            words("GiB", lambda pair: _bytes(pair[1])),
            words("left", lambda pair: _left(pair[1])),
            words("ms", lambda pair: _milliseconds(pair[1])),
        ]
        pairs = [("fits", solved.fits), ("tight", solved.tight)]
        tables.append(Table(f"The largest {solved.what} of row {row}", columns, pairs))
    if found.frontier:
        curve: list[Column[OnFrontier]] = [
            words("length", lambda at: f"{at.length:,}"),
            words("batch that fits", lambda at: _value(at.fits)),
            words("tokens", lambda at: f"{at.fits.value * at.length:,}" if at.fits else "-"),
            words("GiB", lambda at: _bytes(at.fits)),
            words("left", lambda at: _left(at.fits)),
            words("ms", lambda at: _milliseconds(at.fits)),
            words("tight", lambda at: _value(at.tight)),
        ]
        tables.append(Table(f"Batch and length of row {row}", curve, found.frontier))
    return tables


def farther_notes(found: Farther) -> list[str]:
    """Say what the figures are and what ends them."""
    if found == Farther():
        return []
    notes = ["The largest values as forecast, each by a full forecast of its own; the forecast's "
             "error is not taken off. Tight: less than 3 % is left."]  # fmt: skip
    solved = found.solved
    if solved is not None and solved.ends:
        notes.append(f"No larger {solved.what} was tried: {solved.ends}.")
    if solved is not None and solved.skipped:
        low, high = solved.skipped
        notes.append(f"Between {low:,} and {high:,} not every {solved.what} was tried.")
    return notes


def farther_data(found: Farther) -> dict[str, Any]:
    """Return all of it for `--json`; bytes."""
    data: dict[str, Any] = {}
    if found.solved is not None:
        data["solve"] = _solved(found.solved)
    if found.frontier:
        data["frontier"] = [
            {"length": at.length, "fits": _at(at.fits), "tight": _at(at.tight)}
            for at in found.frontier
        ]
    return data


def _solved(solved: Solved) -> dict[str, Any]:
    return {
        "what": solved.what, "fits": _at(solved.fits), "tight": _at(solved.tight),
        "ends": solved.ends, "skipped": solved.skipped,
    }  # fmt: skip


def _at(at: AtValue | None) -> dict[str, Any] | None:
    return at.model_dump(mode="json") if at else None


def _value(at: AtValue | None) -> str:
    return f"{at.value:,}" if at else "none"


def _bytes(at: AtValue | None) -> str:
    return gib(at.device) if at and at.device is not None else "-"


def _left(at: AtValue | None) -> str:
    return gib(at.margin) if at and at.margin is not None else "-"


def _milliseconds(at: AtValue | None) -> str:
    if at is None or at.step is None:
        return "-"
    return f"{'>=' * bool(at.step.at_least)}{milliseconds(at.step.seconds)}"
