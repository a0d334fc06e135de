"""What the figures of a comparison are: which memory, device, precision, padding, versions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from harness.env import MEMORY_PACKAGES
from harness.record import Record
from harness.reporting.comparison import (
    IMAGE,
    Comparison,
    forecast_ratio,
    forward_lengths,
    time_ratio,
)
from harness.reporting.ran import what_ran
from harness.units import is_fraction

# What a record says of a model that changes with it; older records say less.
BASE = {
    "sha256": "weights", "commit": "commit on the hub", "config_sha256": "config.json",
    "tokenizer_sha256": "tokenizer",
}  # fmt: skip


def caption(comparison: Comparison) -> list[str]:
    """Say what the figures are: which memory, device, precision, padding, versions."""
    return [*facts(comparison), *details(comparison)]


def facts(comparison: Comparison) -> list[str]:
    """Say what a reader has to know of every table: scores, memory, where, what is doubtful."""
    records = _good(comparison)
    if not records:
        return ["No cell ended well."]
    metrics = _each((r.task, " / ".join(map(_metric, r.reported))) for r in records)
    if any(is_fraction(name) for r in records for name in r.reported):
        metrics += ", in per cent"
    protocols = _values(str(r.cell["protocol"]) for r in records)
    seeds = len({r.seed for r in records})
    return [
        f"Scores: {metrics}; mean ± standard deviation over {seeds} seed"
        f"{'s' if seeds > 1 else ''}; protocol {protocols} ({_checkpoint(records)} checkpoint).",
        f"Memory: {_meter(records)}; the largest over tasks and seeds"
        f"{_arrow(comparison)}; 1 GiB = 1,024 MiB = 2^30 B.",
        *_ranks(records),
        *_forecasts(records),
        *_forecast_times(records),
        *_doubts(records),
        *_redrawn(records),
        *_bases(records),
        f"Machine: {_machine(records)}. Versions: {_versions(records)}.",
    ]


def details(comparison: Comparison) -> list[str]:
    """Say how the figures came about: what is counted how, and every setting that acted."""
    records = _good(comparison)
    if not records:
        return what_ran(comparison.records)
    return [
        *what_ran(comparison.records),
        "What holds the peak: the split at that moment; activations include temporaries."
        + _rest(records),
        "Parameters: adapter = trainable, head and pooler excluded, shared tensors once; stored = "
        "with the frozen tensors that the method adds.",
        f"FLOPs: one multiply-add is two; forward of one example, {_length(records)}; training "
        "over the whole run.",
        f"Time: median step, as the median ratio to {comparison.baseline} on the same task, seed "
        "and machine.",
    ]


def _good(comparison: Comparison) -> list[Record]:
    return [record for record in comparison.records if record.outcome == "ok"]


def _arrow(comparison: Comparison) -> str:
    """Say what stands behind an arrow in the main table."""
    falls = any(row.last and row.peak and row.last < row.peak for row in comparison.rows)
    return ", behind an arrow the largest of a run's last phase" if falls else ""


def _each(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{task} {metric}" for task, metric in dict.fromkeys(pairs))


def _metric(name: str) -> str:
    return name if is_fraction(name) else f"{name} (as it is)"


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


def _ranks(records: Sequence[Record]) -> list[str]:
    """Say what peaks of several devices are, and how far the devices lie apart."""
    several = [r.memory for r in records if r.memory and r.memory.ranks]
    if not several:
        return []
    devices = "/".join(map(str, sorted({len(memory.ranks) for memory in several})))
    apart = max(1 - min(one.training for one in m.ranks) / m.peak_training for m in several)
    some = f" in {len(several)} of {len(records)} cells" if len(several) < len(records) else ""
    return [
        f"Data parallel{some}: {devices} devices, each with batches of batch_size. Memory is that "
        f"of the device that held the most; the others held at most {100 * apart:.1f} % less "
        "(memory.ranks of each record). FLOPs are those of all devices."
    ]


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
    failed = [r.path for r in records if r.forecast and r.forecast.error]
    return [
        f"Forecast (no weights, no data but its lengths) over measured peak: median error "
        f"{100 * median(errors):.3f} %, largest {100 * errors[-1]:.3f} %; {under} of {len(ratios)} "
        f"({100 * under / len(ratios):.0f} %) are under-estimates."
        + (f" Without a forecast: {', '.join(failed)}." if failed else "")
    ]


def _forecast_times(records: Sequence[Record]) -> list[str]:
    """Say how far forecast step times were off, and whose constants they are of."""
    found = [(r, ratio) for r in records if (ratio := time_ratio(r)) is not None]
    if not found:
        return []
    errors = sorted(abs(ratio - 1) for _, ratio in found)
    clocks = _values(r.forecast.clock for r, _ in found if r.forecast and r.forecast.clock)
    lower = sum(map(_is_lower_bound, (record for record, _ in found)))
    return [
        f"Forecast over measured step time (medians, of the stage that a run begins with; clock: "
        f"{clocks}): median error {100 * median(errors):.1f} %, largest {100 * errors[-1]:.1f} %"
        + (f"; {lower} of {len(found)} are lower bounds." if lower else ".")
    ]


def _is_lower_bound(record: Record) -> bool:
    stages = record.forecast.stages.values() if record.forecast else ()
    return any(stage.step and stage.step.at_least for stage in stages)


def _doubts(records: Sequence[Record]) -> list[str]:
    """Name the cells that did not have their card to themselves."""
    shared = [record for record in records if record.was_shared]
    if not shared:
        return []
    ours = all(record.beside for record in shared)
    others = "other cells ran on the device" if ours else "other processes were on the card"
    more = f" and {len(shared) - 3} more of {len(records)} cells" if len(shared) > 3 else ""
    return [
        f"* Doubtful: {others} during {', '.join(r.path for r in shared[:3])}{more}: step "
        "times depend on them, peaks allocated do not."
    ]


def _redrawn(records: Sequence[Record]) -> list[str]:
    """Name the models whose own head had another size."""
    heads = dict.fromkeys(
        (record.model, "; ".join(record.provenance.redrawn))
        for record in records
        if record.provenance and record.provenance.redrawn
    )
    return [f"New head: {model} has one of another size: {what}." for model, what in heads]


def _bases(records: Sequence[Record]) -> list[str]:
    """Name the models that were not the same one in all cells."""
    notes = []
    for model in dict.fromkeys(record.model for record in records):
        found = [r.provenance for r in records if r.model == model and r.provenance]
        differ = [
            words
            for field, words in BASE.items()
            if len({getattr(where, field) for where in found} - {None}) > 1
        ]
        if differ:
            notes.append(
                f"Different bases: {model} was not the same in all cells, by its "
                f"{', '.join(differ)}: their rows do not compare (each record's provenance)."
            )
    return notes


def _length(records: Sequence[Record]) -> str:
    """Say how long the example is whose forward pass is counted."""
    lengths = forward_lengths(records)
    known = "/".join(str(length) for length in lengths if length not in (None, IMAGE))
    said = [f"of {known} tokens (max_length)"] if known else []
    said += ["an image"] if IMAGE in lengths else []
    said += ["the first of the training rows, its length not recorded"] if None in lengths else []
    return " or ".join(said)


def _machine(records: Sequence[Record]) -> str:
    names = []
    for record in records:
        here = record.environment
        names.append(here.gpu.name if here.gpu else f"{here.cpu}, {here.cores} cores")
    return _values(names)


def _versions(records: Sequence[Record]) -> str:
    installed = [record.environment.packages for record in records]
    return ", ".join(
        f"{name} {_values(p.get(name, '?') for p in installed)}" for name in MEMORY_PACKAGES
    )
