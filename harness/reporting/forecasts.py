"""Forecasts and explanations as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.forecasting.explain import Explanation
from harness.forecasting.result import Forecast
from harness.reporting.comparison import SPLIT
from harness.reporting.tables import Table
from harness.reporting.units import gib

NUM_HOLDS = 16
SHOWN = ("weights", "gradients", "optimizer", "activations")


def coarse(split: dict[str, int]) -> dict[str, int]:
    """Return the split in the tables' terms."""
    return {name: sum(split.get(part, 0) for part in parts) for name, parts in SPLIT.items()}


def forecast_table(found: Sequence[Forecast]) -> Table:
    """Return one row per cell and stage; every card adds what it would need and whether it fits."""
    gpus = list(dict.fromkeys(entry.gpu for entry in found))
    staged = len({entry.stage for entry in found}) > 1
    sought = any(entry.max_batch is not None for entry in found)
    split = [
        name
        for name in SPLIT
        if name in SHOWN or any(coarse(f.split)[name] >= 2**20 for f in found)
    ]
    headers = ["cell", *(["stage", "saves"] if staged else []), "batch", "peak", "reserved",
               "at rest", *split]  # fmt: skip
    for gpu in gpus:
        headers += [gpu, *([f"batch on {gpu}"] if sought else [])]
    # Kernels follow the compute capability: cards that choose otherwise get a row of their own.
    rows: dict[tuple[str, str, int | None], dict[str, Forecast]] = {}
    for entry in found:
        rows.setdefault((entry.cell, entry.stage, entry.peak_allocated), {})[entry.gpu] = entry
    lines = []
    short, title = _without_common_parts(dict.fromkeys(cell for cell, *_ in rows))
    firsts: dict[str, Forecast] = {}
    for (cell, stage, _), by_gpu in rows.items():
        entry = next(iter(by_gpu.values()))
        name = short[cell] if cell not in firsts or not staged else ""  # once for all stages
        first = firsts.setdefault(cell, entry)
        line = [name, *([stage, _saves(first, entry)] if staged else []), *_figures(entry, split)]
        for gpu in gpus:
            known = by_gpu.get(gpu)
            line.append(_fit(known) if known else "-")
            if sought:
                line.append("-" if known is None or known.max_batch is None
                            else str(known.max_batch))  # fmt: skip
        lines.append(line)
    return Table(f"GiB per step{title}", headers, lines)


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


def _saves(first: Forecast, entry: Forecast) -> str:
    """Return what a stage's peak is below the first stage's."""
    if entry is first or not (first.peak_allocated and entry.peak_allocated):
        return "-"
    return f"{100 * (1 - entry.peak_allocated / first.peak_allocated):.1f} %"


def _figures(entry: Forecast, split: Sequence[str]) -> list[str]:
    batch, length = max(entry.steps, key=lambda pair: pair[0] * pair[1])
    parts = coarse(entry.split)
    shape = f"{batch} x {length}"
    if entry.error:
        return [shape, "-", "-", "-", *("-" for _ in split)]
    figures = [entry.peak_allocated, entry.peak_reserved, entry.at_rest]
    return [shape, *map(gib, figures), *(gib(parts[name]) for name in split)]


def _fit(entry: Forecast) -> str:
    if entry.error or entry.margin is None:
        return "error"
    sign = "+" if entry.margin >= 0 else "-"
    return f"{entry.fits} {sign}{gib(abs(entry.margin))}"


def forecast_notes(found: Sequence[Forecast]) -> list[str]:
    """Say what the figures are and what was assumed."""
    if not found:
        return []
    choices = found[0].choices
    kinds = {name: "/".join(dict.fromkeys(f.choices[name] for f in found)) for name in choices}
    notes = [
        "peak: allocated, from the second step on, split at that moment (activations with "
        "temporaries); reserved: by a replay of the caching allocator; card: margin of its "
        "memory over reserved and CUDA context, tight below 3 %. 1 GiB = 2^30 B.",
        ", ".join(f"{name} {value}" for name, value in kinds.items()),
    ]
    assumed = dict.fromkeys(text for entry in found for text in entry.assumptions)
    if assumed:
        notes.append("Assumed: " + "; ".join(assumed))
    errors = {entry.cell: entry.error for entry in found if entry.error}
    return [*notes, *(f"error: {cell}: {text}" for cell, text in errors.items())]


def explanation_tables(explanation: Explanation) -> list[Table]:
    """Return what is alive at the peak, and what single changes would save."""
    outcome = explanation.outcome
    peak = outcome.peak_allocated
    rows, rest = [], peak
    for hold in outcome.holds[:NUM_HOLDS]:
        rest -= hold.num_bytes
        place = hold.path or "(outside of modules)"
        rows.append([place, hold.category, hold.op, str(hold.num_blocks), gib(hold.num_bytes),
                     f"{100 * hold.num_bytes / peak:.1f} %"])  # fmt: skip
    rows.append(["everything else", "", "", "", gib(rest), f"{100 * rest / peak:.1f} %"])
    headers = ["where", "what", "made by", "blocks", "GiB", "of the peak"]
    title = f"{explanation.cell.path}: {gib(peak)} GiB, reached in {outcome.peak_mark}"
    changes = [
        [
            remedy.change if remedy.outcome else f"{remedy.change}: {remedy.reason}",
            gib(remedy.outcome.peak_allocated) if remedy.outcome else "-",
            gib(remedy.outcome.peak_reserved) if remedy.outcome else "-",
            f"{100 * (1 - remedy.outcome.peak_allocated / peak):.1f} %" if remedy.outcome else "-",
        ]
        for remedy in explanation.remedies
    ]
    return [
        Table(title, headers, rows),
        Table("One change at a time", ["change", "peak", "reserved", "saves"], changes),
    ]
