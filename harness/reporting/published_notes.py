"""What is said below published tables: flags, deviations, and what stands on one side only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.published.published import MEAN, Reproduced, tasks_of
from harness.reporting.beside import NEAR, Beside, off
from harness.reporting.ours import Ours

# What costs have their own table, first; the rest of what is no score has another.
FIRST = {
    "memory": "memory, GiB",
    "trainable_params": "parameters, M",
    "trainable_params_avg": "parameters, mean, M",
}
OTHER = {
    "computation": "computation, TFLOP",
    "computation_reduction": "computation saved, %",
    "memory_reduction": "memory saved, %",
    "train_time": "training time / LoRA",
    "train_time_reduction": "training time saved, %",
    "runtime_normalized": "run time, normalised",
    "flops_normalized": "FLOPs, normalised",
    "params_normalized": "parameters, normalised",
    "trainable_param_reduction_of_adapters_vs_fft": "fewer parameters than full, %",
    "memory_reduction_of_adapters_vs_fft": "less memory than full, %",
    "activation_share_of_memory": "activations' share of memory, %",
}
COUNTS = {"trainable_params", "trainable_params_avg"}
NAMES = FIRST | OTHER
Marks = Mapping[str, str]  # flag -> letter


def model_of(row: Beside) -> str:
    """Return the model's name without its owner's."""
    return row.printed.model.rpartition("/")[2]


def by_task(suite: Mapping[str, Any], rows: Sequence[Beside]) -> tuple[list[Beside], list[str]]:
    """Return the rows of tasks that the suite has, and a note that names the others' tasks."""
    entries = [entry for entry in suite.get("tasks") or () if isinstance(entry, Mapping)]
    if any(entry.get("shape") for entry in entries):
        costs = [row for row in rows if row.printed.metric in NAMES]
        left = ["The paper's scores are left out: this suite has shapes, and no data."]
        return costs, left if len(costs) < len(rows) else []
    names = {name for entry in entries for name in (entry.get("label"), entry.get("name")) if name}

    def there(row: Beside) -> bool:
        return not row.printed.task or not names.isdisjoint(tasks_of(row.printed.task))

    gone = dict.fromkeys(row.printed.task for row in rows if not there(row))
    notes = [f"Of the paper's tasks this suite does not have {', '.join(gone)}."] if gone else []
    return [row for row in rows if there(row)], notes


def legend(rows: Sequence[Beside], marks: Marks, reproduced: Reproduced) -> list[str]:
    """Say what is to be known of the figures that have a letter, and how parameters are counted."""
    flags = dict.fromkeys(row.printed.flag for row in rows if row.printed.flag in marks)
    of = {row.printed.method: row.label for row in rows if row.printed.metric in COUNTS}
    counted = [f"Counted, {of[name]}: {text}." for name, text in reproduced.table.counted.items()
               if name in of]  # fmt: skip
    return [*(f"({marks[flag]}) {flag}." for flag in flags), *counted]


def apart(rows: Sequence[Beside], reproduced: Reproduced) -> list[str]:
    """Name the costs that differ from the paper's by more than a little, with the reason."""
    reasons: dict[str, list[str]] = {}
    several = len({row.printed.model for row in rows}) > 1
    for row in rows:
        if row.printed.metric not in NAMES:
            continue
        for name, value in (("measured", row.measured), ("forecast", row.forecast)):
            share = off(value, row.printed)
            if share is None or abs(share) < NEAR:
                continue
            known = [one for one in reproduced.table.apart if one.fits(row.printed)]
            why = (known[0].why or "nobody here can explain it") if known else "not explained"
            parts = [model_of(row) if several else "", row.label, row.variant]
            what = " ".join(filter(None, parts))
            figure = NAMES[row.printed.metric].partition(",")[0]
            reasons.setdefault(why, []).append(f"{what} {figure} {name} {100 * share:+.1f} %")
    return [f"Off by more than {100 * NEAR:.0f} %: {', '.join(who)}: {why}."
            for why, who in reasons.items()]  # fmt: skip


def unmatched(reproduced: Reproduced, rows: Sequence[Beside], ours: Sequence[Ours]) -> list[str]:
    """Name what stands on one side only: rows, models and tasks of the paper, methods of ours."""
    if not ours:
        return ["Nothing of ours is here."]
    compared = [row for row in rows if _there(row, ours, "method") and _there(row, ours, "model")]
    tasks = (row.printed.task for row in compared if row.printed.task and not row.tasks)
    bare = any(not one.task for one in ours)
    told = {
        "rows": (r.printed.method for r in rows if not _there(r, ours, "method")),
        "models": (model_of(r) for r in rows if not _there(r, ours, "model")),
        "tasks": () if bare else tasks,
    }
    unlike = [
        f"Nothing of ours stands beside {metric}: {why}."
        for metric, why in reproduced.table.unlike.items()
    ]
    named = {what: ", ".join(dict.fromkeys(names)) for what, names in told.items()}
    notes = [
        f"Of the paper's {what} ours has none of {text}." for what, text in named.items() if text
    ]
    labels = {reproduced.label(method) for method in reproduced.table.methods}
    models = {model_of(row).lower() for row in rows} - {MEAN, ""}
    extra = dict.fromkeys(
        [
            *(one.method for one in ours if one.method not in labels),
            *(one.model for one in ours if models and one.model.lower() not in models),
        ]
    )
    return [*unlike, *notes, *([f"Not in the paper's table: {', '.join(extra)}."] if extra else [])]


def _there(row: Beside, ours: Sequence[Ours], what: str) -> bool:
    """Tell whether ours has the row's method, or its model."""
    if what == "method":
        return any(one.method == row.label for one in ours)
    named = row.printed.model in ("", MEAN)
    return named or any(one.model.lower() == model_of(row).lower() for one in ours)
