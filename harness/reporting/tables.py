"""The comparison as a grid of texts, for the terminal, Markdown and CSV alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from harness.env import MEMORY_PACKAGES
from harness.record import MARKS, Record
from harness.reporting.comparison import (
    SPLIT,
    Comparison,
    Row,
    Score,
    forecast_ratio,
    task_of,
)
from harness.reporting.units import MIB, mib, millions, score, tera

# Parts of the split that have a column even where they are nothing at the peak.
ALWAYS_SHOWN = ("weights", "gradients", "optimizer", "activations")


@dataclass(frozen=True)
class Table:
    """Headers and rows of texts; the first column is a name, the others are figures."""

    title: str
    headers: list[str]
    rows: list[list[str]]


def comparison_tables(comparison: Comparison) -> list[Table]:
    """Return one table per model: methods in rows; scores, parameters, memory, FLOPs and time."""
    several = len(comparison.tasks) > 1
    split = [
        part
        for part in SPLIT
        if part in ALWAYS_SHOWN or any(row.split.get(part, 0) >= MIB for row in comparison.rows)
    ]
    shrinking = any(row.adapter_mean != row.adapter for row in comparison.rows)
    foreseen = any(row.forecast for row in comparison.rows)
    headers = [
        "method",
        *comparison.tasks,
        *(["average"] if several else []),
        "adapter",
        *(["adapter, mean"] if shrinking else []),
        "head",
        "stored",
        "peak MiB",
        *(["forecast / peak"] if foreseen else []),
        *split,
        "fwd GFLOP",
        "train TFLOP",
        f"step time / {comparison.baseline}",
    ]
    tables = []
    for model in comparison.models:
        rows = [
            _cells(row, comparison.tasks, split, several, shrinking, foreseen)
            for row in comparison.rows
            if row.model == model
        ]
        tables.append(Table(model, headers, rows))
    return tables


def _cells(
    row: Row,
    tasks: Sequence[str],
    split: Sequence[str],
    several: bool,
    shrinking: bool,
    foreseen: bool,
) -> list[str]:
    forward = row.forward_flops
    return [
        row.method,
        *(score_text(row.scores[task]) for task in tasks),
        *([score(row.average)] if several else []),
        millions(row.adapter),
        *([millions(row.adapter_mean)] if shrinking else []),
        "-" if row.head is None else f"{row.head:,}",
        millions(row.stored),
        mib(row.peak),
        *(["-" if row.forecast is None else f"{row.forecast:.4f}"] if foreseen else []),
        *(mib(row.split.get(part)) if row.split else "-" for part in split),
        "-" if forward is None else f"{forward / 1e9:.3g}",
        tera(row.training_flops),
        "-" if row.relative_time is None else f"{row.relative_time:.2f}",
    ]


def score_text(value: Score) -> str:
    """Format `main ± standard deviation / other metrics` in per cent, and what went wrong."""
    failed = ", ".join(
        f"{count} {MARKS[outcome]}" if count > 1 else MARKS[outcome]
        for outcome, count in value.outcomes.items()
    )
    if value.mean is None:
        return failed or "-"
    spread = "" if value.spread is None else f" ± {100 * value.spread:.2f}"
    others = "".join(f" / {score(other)}" for other in value.others.values())
    return score(value.mean) + spread + others + (f" ({failed})" if failed else "")


def caption(comparison: Comparison) -> list[str]:
    """Say what the figures are: which memory, device, precision, padding, versions."""
    records = [record for record in comparison.records if record.outcome == "ok"]
    if not records:
        return ["No cell ended well."]
    metrics = _each((task_of(r), " / ".join(r.reported)) for r in records)
    protocols = _values(str(r.cell["protocol"]) for r in records)
    seeds = len({r.cell["seed"] for r in records})
    return [
        f"Scores: {metrics}, in per cent; mean ± standard deviation over {seeds} seed"
        f"{'s' if seeds > 1 else ''}; protocol {protocols} ({_checkpoint(records)} checkpoint).",
        f"Memory: {_meter(records)}; the largest over tasks and seeds, split at that peak; "
        "activations include temporaries, 1 MiB = 2^20 B." + _rest(records),
        *_forecasts(records),
        "Parameters: adapter = trainable, head and pooler excluded, shared tensors once; stored = "
        "with the frozen tensors that the method adds.",
        "FLOPs: one multiply-add is two; forward of one example, training over the whole run.",
        f"Time: median step, as the median ratio to {comparison.baseline} on the same task and "
        "seed.",
        f"Settings: {_settings(records)}.",
        *_doubts(records),
        *_warnings(records),
        f"Machine: {_machine(records)}. Versions: {_versions(records)}.",
    ]


def _each(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{task} {metric}" for task, metric in dict.fromkeys(pairs))


def _values(values: Iterable[str]) -> str:
    return "/".join(dict.fromkeys(values))


def _checkpoint(records: Sequence[Record]) -> str:
    return _values("last" if record.best_epoch is None else "best" for record in records)


def _meter(records: Sequence[Record]) -> str:
    meters = {record.memory.meter for record in records if record.memory}
    words = {
        "cuda": "peak allocated in training as CUDA's caching allocator saw it",
        "cpu-ledger": "peak allocated in a training step, every tensor counted on the CPU",
    }
    return " and ".join(words[meter] for meter in sorted(meters))


def _rest(records: Sequence[Record]) -> str:
    """Say what of a CUDA peak is in no column."""
    if not any(r.memory and r.memory.meter == "cuda" for r in records):
        return ""
    return " The rest of the peak is workspaces of cuBLAS and what the allocator did not split off."


def _forecasts(records: Sequence[Record]) -> list[str]:
    """Say how the forecasts compare with what was measured, under-estimates apart."""
    ratios = [ratio for ratio in map(forecast_ratio, records) if ratio is not None]
    if not ratios:
        return []
    errors = sorted(abs(ratio - 1) for ratio in ratios)
    under = sum(ratio < 1 for ratio in ratios)
    failed = [r.path for r in records if "error" in (r.forecast or {})]
    return [
        f"Forecast (no weights, no data but its lengths) over measured peak: median error "
        f"{100 * median(errors):.3f} %, largest {100 * errors[-1]:.3f} %; {under} of {len(ratios)} "
        f"({100 * under / len(ratios):.0f} %) are under-estimates."
        + (f" Without a forecast: {', '.join(failed)}." if failed else "")
    ]


def _doubts(records: Sequence[Record]) -> list[str]:
    """Name the cells that did not have their card to themselves."""
    shared = [r.path for r in records if r.memory and r.memory.other_processes]
    if not shared:
        return []
    more = f" and {len(shared) - 3} more of {len(records)} cells" if len(shared) > 3 else ""
    return [
        f"Doubtful: other processes were on the card during {', '.join(shared[:3])}{more}: step "
        "times depend on them, peaks allocated do not."
    ]


def _warnings(records: Sequence[Record]) -> list[str]:
    """Repeat what a method says against its own run."""
    return [
        f"Warning: {record.path}: {sentence}"
        for record in records
        for sentence in record.method_state.get("warnings", [])
    ]


def _settings(records: Sequence[Record]) -> str:
    shown = ("precision", "attention", "padding", "max_length", "batch_size", "accumulate",
             "optimizer", "gradient_checkpointing")  # fmt: skip
    train = [record.cell["train"] for record in records]
    return ", ".join(f"{name} {_values(str(t[name]) for t in train)}" for name in shown)


def _machine(records: Sequence[Record]) -> str:
    names = []
    for record in records:
        gpu = record.environment.get("gpu")
        cores = record.environment.get("cores")
        names.append(gpu["name"] if gpu else f"{record.environment.get('cpu')}, {cores} cores")
    return _values(names)


def _versions(records: Sequence[Record]) -> str:
    found = [record.environment.get("packages", {}) for record in records]
    return ", ".join(
        f"{name} {_values(str(p.get(name, '?')) for p in found)}" for name in MEMORY_PACKAGES
    )
