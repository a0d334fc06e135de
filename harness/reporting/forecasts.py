"""Forecasts and explanations as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.forecasting.result import AtBatch, Forecast, LargestBatch
from harness.reporting.chosen import choices_of
from harness.reporting.columns import Column, Table, number, words
from harness.reporting.comparison import IMAGE, SPLIT, coarse
from harness.reporting.devices import head_notes, heads, memory_note
from harness.units import MIB, gib

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
    short, title = without_common_parts(dict.fromkeys(cell for cell, *_ in groups))
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
    for gpu, head in heads(entry.gpu for entry in forecasts).items():
        columns.append(_card_column(gpu, head))
        if sought:
            columns.append(_batch_column(gpu, head))
    return columns


def _gibibytes(header: str, read: Callable[[Forecast], int | None]) -> Column[ForecastRow]:
    return number(header, lambda row: read(row.entry), gib, f"{header} (B)")


def _part_column(part: str) -> Column[ForecastRow]:
    return _gibibytes(part, lambda entry: None if entry.error else coarse(entry.split)[part])


def _card_column(gpu: str, head: str) -> Column[ForecastRow]:
    return Column(
        head,
        lambda row: row.by_gpu.get(gpu),
        fit_text,
        {gpu: lambda entry: entry.fits if entry else None,
         f"{gpu} margin (B)": lambda entry: entry.margin if entry else None},
    )  # fmt: skip


def _batch_column(gpu: str, head: str) -> Column[ForecastRow]:
    def largest(row: ForecastRow) -> LargestBatch | None:
        entry = row.by_gpu.get(gpu)
        return entry.max_batch if entry else None

    header = f"batch on {gpu}"
    return Column(
        f"batch on {head}",
        largest,
        _batches,
        {f"{header} fits (examples)": lambda b: b and (b.fits.batch if b.fits else 0),
         f"{header} tight (examples)": lambda b: b and (b.tight.batch if b.tight else 0)},
    )  # fmt: skip


def _batches(largest: LargestBatch | None) -> str:
    """Say the largest batch that fits, and behind a slash a larger one that is tight."""
    if largest is None:
        return "-"

    def one(at: AtBatch | None) -> str:
        return f"{at.batch} {_signed(at.margin)}" if at else "0"

    text = one(largest.fits)
    if largest.tight != largest.fits:
        text += f" / {one(largest.tight)}"
    return f"{text} (all rows)" if largest.all_rows else text


def _saves_column() -> Column[ForecastRow]:
    return number("saves", _saves, percent, "saves (fraction)")


def without_common_parts(cells: Iterable[str]) -> tuple[dict[str, str], str]:
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
    return names, f": {'/'.join(common)}" if any(shared[:-1]) else ""


def without_equal_seeds(forecasts: Sequence[Forecast]) -> list[Forecast]:
    """Return the forecasts without those that differ from an earlier one in their seed alone."""
    found: dict[str, Forecast] = {}
    for entry in forecasts:
        rest = entry.model_dump_json(exclude={"cell", "seconds"})
        found.setdefault(f"{entry.cell.rpartition('/')[0]} {rest}", entry)
    return list(found.values())


def _saves(row: ForecastRow) -> float | None:
    """Return how far a stage's peak is below the first stage's."""
    first, entry = row.first, row.entry
    if entry is first or not (first.peak_allocated and entry.peak_allocated):
        return None
    return 1 - entry.peak_allocated / first.peak_allocated


def percent(share: float | None) -> str:
    """Return a fraction as people read it."""
    return "-" if share is None else f"{100 * share:.1f} %"


def _batch(entry: Forecast) -> str:
    return _size(max(entry.steps, key=lambda step: step[0] * sum(step[1:])))


def _size(step: Sequence[int]) -> str:
    return f"{step[0]} images" if step[1] == IMAGE else f"{step[0]} x {step[1]}"


def fit_text(entry: Forecast | None) -> str:
    """Return a verdict with its margin in GiB."""
    if entry is None:
        return "-"
    if entry.error or entry.margin is None:
        return "error"
    lacks = "".join(f", no {what}" for what in entry.lacks)
    text = f"{entry.fits} {_signed(entry.margin)}{lacks}"
    return text if entry.decides == "training" else f"{text} ({entry.decides})"


def _signed(margin: int) -> str:
    return f"{'+' if margin >= 0 else '-'}{gib(abs(margin))}"


def forecast_notes(forecasts: Sequence[Forecast]) -> list[str]:
    """Say what the figures are and what was assumed."""
    if not forecasts:
        return []
    notes = [
        memory_note(forecasts),
        *head_notes(entry.gpu for entry in forecasts),
        ", ".join(f"{name} {value}" for name, value in choices_of(forecasts)),
    ]
    kernels = dict.fromkeys(kernel for entry in forecasts for kernel in entry.kernels)
    if kernels:
        notes.append(f"Kernels of sdpa: {', '.join(kernels)}.")
    evaluated = dict.fromkeys(_size(entry.evaluation) for entry in forecasts if entry.evaluation)
    if evaluated:
        notes.append(f"Largest evaluation batch: {', '.join(evaluated)}.")
    if any(entry.max_batch for entry in forecasts):
        notes.append(
            "batch: the largest that fits, with its margin; behind a slash a larger one that is "
            "tight."
        )
    notes += _not_all_tried(forecasts) + _helped_by_pages(forecasts)
    if any(entry.lacks for entry in forecasts):
        notes.append(
            "no bf16, tf32, flash attention: the card does not have it; torch computes bf16 by way "
            "of fp32 there (slow), tf32 is fp32, and flash_attention_2 does not run."
        )
    assumed = dict.fromkeys(text for entry in forecasts for text in entry.assumptions)
    if assumed:
        notes.append("Assumed: " + "; ".join(assumed))
    differs = dict.fromkeys(text for entry in forecasts for text in entry.differs)
    notes += [f"Not as in the file: {text}." for text in differs]
    meant = dict.fromkeys(
        f"{entry.method} on {entry.model}: {text}." for entry in forecasts for text in entry.remarks
    )
    notes += meant
    errors = {entry.cell: entry.error for entry in forecasts if entry.error}
    return [*filter(None, notes), *(f"error: {cell}: {text}" for cell, text in errors.items())]


def _not_all_tried(forecasts: Sequence[Forecast]) -> list[str]:
    found = {(f.cell, f.gpu): f.max_batch for f in forecasts if f.max_batch}
    return [
        f"{cell} on {gpu}: between batch {largest.skipped[0]} and {largest.skipped[1]} not every "
        "one was tried; what fits below was assumed to grow steadily."
        for (cell, gpu), largest in found.items()
        if largest.skipped
    ]


def _helped_by_pages(forecasts: Sequence[Forecast]) -> list[str]:
    """Say which cells expandable segments would make fit."""
    cells: dict[str, list[str]] = {}
    for entry in forecasts:
        if entry.fits != "fits" and entry.fits_expandable == "fits":
            cells.setdefault(entry.gpu, []).append(entry.cell)
    return [
        f"With PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True on {gpu} also fits: "
        f"{', '.join(dict.fromkeys(names))}."
        for gpu, names in cells.items()
    ]
