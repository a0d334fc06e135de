"""What holds a cell's peak, and what would take it away, as tables."""

from __future__ import annotations

from typing import Any

from harness.forecasting.explain import Explanation, Remedy
from harness.reporting.columns import Column, Table, number, words
from harness.reporting.forecasts import percent
from harness.simulation.step_forecast import Hold
from harness.units import gib

NUM_HOLDS = 16


def explanation_tables(explanation: Explanation) -> list[Table[Any]]:
    """Return what is alive at the peak, and what single changes would save."""
    peak = explanation.step.peak_allocated
    title = f"{explanation.cell.path}: {gib(peak)} GiB, reached in {explanation.step.peak_mark}"
    holds = explanation.step.holds[:NUM_HOLDS]
    rest = peak - sum(hold.num_bytes for hold in holds)
    others = Hold(category="", path="everything else", op="", num_bytes=rest, num_blocks=0)
    return [
        Table(title, _hold_columns(peak), [*holds, others]),
        Table("One change at a time", _remedy_columns(peak), explanation.remedies),
    ]


def _hold_columns(peak: int) -> list[Column[Hold]]:
    return [
        words("where", lambda hold: hold.path or "(outside of modules)"),
        words("what", lambda hold: hold.category),
        words("made by", lambda hold: hold.op),
        number("blocks", lambda hold: hold.num_blocks, lambda n: str(n or ""), "blocks"),
        number("GiB", lambda hold: hold.num_bytes, gib, "held (B)"),
        number("of the peak", lambda hold: hold.num_bytes / peak, percent,
               "of the peak (fraction)"),
    ]  # fmt: skip


def _remedy_columns(peak: int) -> list[Column[Remedy]]:
    def saved(remedy: Remedy) -> float | None:
        return 1 - remedy.step.peak_allocated / peak if remedy.step else None

    return [
        words("change", lambda r: r.change if r.step else f"{r.change}: {r.reason}"),
        number("peak", lambda r: r.step.peak_allocated if r.step else None, gib, "peak (B)"),
        number("reserved", lambda r: r.step.peak_reserved if r.step else None, gib,
               "reserved (B)"),
        number("saves", saved, percent, "saves (fraction)"),
    ]  # fmt: skip
