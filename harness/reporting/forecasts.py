"""Forecasts and explanations as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.forecasting.explain import Explanation, Remedy
from harness.forecasting.result import Forecast
from harness.reporting.columns import Column, Table, number, words
from harness.reporting.comparison import SPLIT, coarse
from harness.shapes import BatchShape
from harness.simulation.step_forecast import Hold
from harness.units import MIB, gib

NUM_HOLDS = 16
SHOWN = ("weights", "gradients", "optimizer", "activations")


@dataclass(frozen=True)
class ForecastRow:
    """One cell's stage: its step is the same on all cards of one kind.

    Attributes:
        name: what tells it from the other rows; empty below the first of a cell's stages.
        first: the cell's first stage.
        entry: this one, on any of its cards.
        by_gpu: on each card.
    """

    name: str
    first: Forecast
    entry: Forecast
    by_gpu: dict[str, Forecast]


def forecast_table(forecasts: Sequence[Forecast]) -> Table[ForecastRow]:
    """Return one row per cell and stage; every card adds what it would need and whether it fits."""
    staged = len({entry.stage for entry in forecasts}) > 1
    rows, title = _rows(forecasts, staged)
    return Table(f"GiB per step{title}", _columns(forecasts, staged), rows)


def _rows(forecasts: Sequence[Forecast], staged: bool) -> tuple[list[ForecastRow], str]:
    """Return the rows, and a tail for the title that says what all cells share."""
    # Kernels follow the compute capability: cards that choose otherwise get a row of their own.
    groups: dict[tuple[str, str, int | None], dict[str, Forecast]] = {}
    for entry in forecasts:
        groups.setdefault((entry.cell, entry.stage, entry.peak_allocated), {})[entry.gpu] = entry
    short, title = _without_common_parts(dict.fromkeys(cell for cell, *_ in groups))
    firsts: dict[str, Forecast] = {}
    rows = []
    for (cell, _, _), by_gpu in groups.items():
        entry = next(iter(by_gpu.values()))
        name = short[cell] if cell not in firsts or not staged else ""  # once for all stages
        rows.append(ForecastRow(name, firsts.setdefault(cell, entry), entry, by_gpu))
    return rows, title


def _columns(forecasts: Sequence[Forecast], staged: bool) -> list[Column[ForecastRow]]:
    columns: list[Column[ForecastRow]] = [words("cell", lambda row: row.name)]
    if staged:
        columns += [words("stage", lambda row: row.entry.stage), _saves_column()]
    columns += [
        words("batch", lambda row: _batch(row.entry)),
        _gibibytes("peak", lambda entry: entry.peak_allocated),
        _gibibytes("reserved", lambda entry: entry.peak_reserved),
        _gibibytes("at rest", lambda entry: entry.at_rest),
    ]
    for part in SPLIT:
        if part in SHOWN or any(coarse(f.split)[part] >= MIB for f in forecasts):
            columns.append(_part_column(part))
    sought = any(entry.max_batch is not None for entry in forecasts)
    for gpu in dict.fromkeys(entry.gpu for entry in forecasts):
        columns.append(_card_column(gpu))
        if sought:
            columns.append(_batch_column(gpu))
    return columns


def _gibibytes(header: str, read: Callable[[Forecast], int | None]) -> Column[ForecastRow]:
    return number(header, lambda row: read(row.entry), gib, f"{header} (B)")


def _part_column(part: str) -> Column[ForecastRow]:
    return _gibibytes(part, lambda entry: None if entry.error else coarse(entry.split)[part])


def _card_column(gpu: str) -> Column[ForecastRow]:
    return Column(
        gpu,
        lambda row: row.by_gpu.get(gpu),
        _fit,
        {gpu: lambda entry: entry.fits if entry else None,
         f"{gpu} margin (B)": lambda entry: entry.margin if entry else None},
    )  # fmt: skip


def _batch_column(gpu: str) -> Column[ForecastRow]:
    def largest(row: ForecastRow) -> int | None:
        entry = row.by_gpu.get(gpu)
        return entry.max_batch if entry else None

    header = f"batch on {gpu}"
    return number(header, largest, lambda n: "-" if n is None else str(n), header)


def _saves_column() -> Column[ForecastRow]:
    return number("saves", _saves, _percent, "saves (fraction)")


def _without_common_parts(cells: Iterable[str]) -> tuple[dict[str, str], str]:
    """Return short names for paths, and a tail for the title that says what they share."""
    parts = {cell: cell.split("/") for cell in cells}
    if len(parts) == 1 or len({len(p) for p in parts.values()}) > 1:
        return {cell: cell for cell in parts}, ""
    columns = list(zip(*parts.values(), strict=True))
    shared = [len(set(column)) == 1 for column in columns]
    names = {
        cell: "/".join(part for part, same in zip(own, shared, strict=True) if not same)
        for cell, own in parts.items()
    }
    common = [column[0] if same else "*" for column, same in zip(columns, shared, strict=True)]
    return names, f": {'/'.join(common)}" if any(shared) else ""


def _saves(row: ForecastRow) -> float | None:
    """Return how far a stage's peak is below the first stage's."""
    first, entry = row.first, row.entry
    if entry is first or not (first.peak_allocated and entry.peak_allocated):
        return None
    return 1 - entry.peak_allocated / first.peak_allocated


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _batch(entry: Forecast) -> str:
    examples, length, *_ = max(entry.steps, key=lambda step: BatchShape(*step).tokens)
    return f"{examples} x {length}"


def _fit(entry: Forecast | None) -> str:
    if entry is None:
        return "-"
    if entry.error or entry.margin is None:
        return "error"
    sign = "+" if entry.margin >= 0 else "-"
    return f"{entry.fits} {sign}{gib(abs(entry.margin))}"


def forecast_notes(forecasts: Sequence[Forecast]) -> list[str]:
    """Say what the figures are and what was assumed."""
    if not forecasts:
        return []
    choices = forecasts[0].choices
    kinds = {name: "/".join(dict.fromkeys(f.choices[name] for f in forecasts)) for name in choices}
    notes = [
        "peak: allocated, from the second step on, split at that moment (activations with "
        "temporaries); reserved: by a replay of the caching allocator; card: margin of its "
        "memory over reserved and CUDA context, tight below 3 %. 1 GiB = 2^30 B.",
        ", ".join(f"{name} {value}" for name, value in kinds.items()),
    ]
    assumed = dict.fromkeys(text for entry in forecasts for text in entry.assumptions)
    if assumed:
        notes.append("Assumed: " + "; ".join(assumed))
    errors = {entry.cell: entry.error for entry in forecasts if entry.error}
    return [*notes, *(f"error: {cell}: {text}" for cell, text in errors.items())]


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
        number("of the peak", lambda hold: hold.num_bytes / peak, _percent,
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
        number("saves", saved, _percent, "saves (fraction)"),
    ]  # fmt: skip
