"""What holds a cell's peak, and what would take it away, as tables and as data."""

from __future__ import annotations

from typing import Any

from harness.forecasting.explain import Explanation, Remedy, need_of
from harness.reporting.columns import Column, Table, number, words
from harness.reporting.forecasts import fit_text, percent
from harness.simulation.step_forecast import Hold
from harness.units import gib

NUM_HOLDS = 16


def explanation_tables(explanation: Explanation) -> list[Table[Any]]:
    """Return what is alive at the peak, what single changes would save, and several together."""
    peak = explanation.step.peak_allocated
    title = f"{explanation.cell.path}: {gib(peak)} GiB, reached in {explanation.step.peak_mark}"
    holds = explanation.step.holds[:NUM_HOLDS]
    rest = peak - sum(hold.num_bytes for hold in holds)
    others = Hold(category="", path="everything else", op="", num_bytes=rest, num_blocks=0)
    tables: list[Table[Any]] = [Table(title, _hold_columns(peak), [*holds, others])]
    if explanation.remedies:
        columns = _remedy_columns(explanation)
        tables.append(Table("One change at a time", columns, explanation.remedies))
    if explanation.together:
        columns = _remedy_columns(explanation)
        tables.append(Table("Together with all above", columns, explanation.together))
    return tables


def explanation_notes(explanation: Explanation) -> list[str]:
    """Say what the cell's own verdicts are, and what is no help."""
    verdicts = ", ".join(f"{gpu}: {fit_text(e)}" for gpu, e in explanation.entries.items())
    notes = [
        f"As it is, on {verdicts}.",
        "peak: allocated, the most of training, evaluation and probe; cards: margin over what is "
        "reserved and the CUDA context. GiB, 1 GiB = 2^30 B.",
    ]
    if explanation.useless:
        notes.append(f"Saves nothing here: {'; '.join(explanation.useless)}.")
    return notes + [f"Not possible: {text}: {why}" for text, why in explanation.impossible.items()]


def explanation_data(explanation: Explanation) -> dict[str, Any]:
    """Return all of it for `--json`; bytes."""

    def told(remedy: Remedy) -> dict[str, Any]:
        return {
            "changes": list(remedy.changes),
            "by_gpu": {g: e.model_dump(mode="json") for g, e in remedy.by_gpu.items()},
        }

    return {
        "cell": explanation.cell.path,
        "peak_mark": explanation.step.peak_mark,
        "holds": [hold.model_dump(mode="json") for hold in explanation.step.holds],
        "by_gpu": {g: e.model_dump(mode="json") for g, e in explanation.entries.items()},
        "remedies": [told(remedy) for remedy in explanation.remedies],
        "together": [told(remedy) for remedy in explanation.together],
        "useless": explanation.useless,
        "impossible": explanation.impossible,
    }


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


def _remedy_columns(explanation: Explanation) -> list[Column[Remedy]]:
    peak = need_of(explanation.step)
    columns: list[Column[Remedy]] = [
        words("change", lambda r: r.changes[-1]),
        number("peak", lambda r: need_of(r.step), gib, "peak (B)"),
        number("saves", lambda r: 1 - need_of(r.step) / peak, percent, "saves (fraction)"),
    ]
    return [*columns, *(_card_column(card.name) for card in explanation.cards)]


def _card_column(gpu: str) -> Column[Remedy]:
    return Column(
        gpu,
        lambda remedy: remedy.by_gpu[gpu],
        fit_text,
        {gpu: lambda entry: entry.fits, f"{gpu} margin (B)": lambda entry: entry.margin},
    )
