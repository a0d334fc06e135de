"""The comparison as tables: methods in rows; scores, parameters, memory, FLOPs and time."""

from __future__ import annotations

from collections.abc import Callable

from harness.record import MARKS
from harness.reporting.columns import (
    Column,
    Table,
    count,
    mebibytes,
    number,
    parameters,
    percent,
    quotient,
    teraflop,
    words,
)
from harness.reporting.comparison import SPLIT, Comparison, Row, Score, forward_lengths
from harness.reporting.method_notes import method_notes
from harness.units import MIB, giga, score, unit_of

# Parts of the split that have a column even where they are nothing at the peak.
ALWAYS_SHOWN = ("weights", "gradients", "optimizer", "activations")


def comparison_tables(comparison: Comparison) -> list[Table[Row]]:
    """Return one table per model; all have the same columns."""
    columns = comparison_columns(comparison)
    return [
        Table(
            model,
            columns,
            [row for row in comparison.rows if row.model == model],
            method_notes(record for record in comparison.records if record.model == model),
        )
        for model in comparison.models
    ]


def comparison_columns(comparison: Comparison) -> list[Column[Row]]:
    """Return the columns that the comparison has something to say in."""
    rows = comparison.rows
    columns: list[Column[Row]] = [words("method", lambda row: row.method)]
    columns += [_score_column(comparison, task) for task in comparison.tasks]
    if len(comparison.tasks) > 1:
        columns.append(percent("average", lambda row: row.average))
    columns.append(parameters("adapter", lambda row: row.adapter))
    if any(row.adapter_mean != row.adapter for row in rows):
        columns.append(parameters("adapter, mean", lambda row: row.adapter_mean))
    columns += [
        count("head", lambda row: row.head, "head (parameters)"),
        parameters("stored", lambda row: row.stored),
        mebibytes("peak MiB", lambda row: row.peak),
    ]
    if any(row.forecast for row in rows):
        columns.append(
            number("forecast / peak", lambda row: row.forecast, _four_digits,
                   "forecast / peak (ratio)")
        )  # fmt: skip
    columns += [_split_column(part) for part in SPLIT if _worth_a_column(part, rows)]
    return [
        *columns,
        number(_forward_header(comparison), lambda row: row.forward_flops, giga, "fwd (FLOP)"),
        teraflop("train TFLOP", lambda row: row.training_flops),
        quotient(f"step time / {comparison.baseline}", lambda row: row.relative_time),
    ]


def _forward_header(comparison: Comparison) -> str:
    """Name the length that the forward pass is counted at, where it is one for all."""
    lengths = forward_lengths(r for r in comparison.records if r.outcome == "ok")
    one = lengths[0] if len(lengths) == 1 else None
    return "fwd GFLOP" if one is None else f"fwd GFLOP at {one}"


def _four_digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _worth_a_column(part: str, rows: list[Row]) -> bool:
    return part in ALWAYS_SHOWN or any(row.split.get(part, 0) >= MIB for row in rows)


def _split_column(part: str) -> Column[Row]:
    return mebibytes(part, lambda row: row.split.get(part) if row.split else None)


def _score_column(comparison: Comparison, task: str) -> Column[Row]:
    """Return a task's column: one text for people, a number for each metric for machines."""
    scores = [row.scores[task] for row in comparison.rows]
    main = next((s.metric for s in scores if s.metric), "score")
    others = dict.fromkeys(name for s in scores for name in s.others)
    return Column(
        task,
        lambda row: row.scores[task],
        score_text,
        {
            f"{task} {main}{unit_of(main)}": lambda value: value.mean,
            f"{task} {main} standard deviation{unit_of(main)}": lambda value: value.spread,
            **{f"{task} {name}{unit_of(name)}": _other(name) for name in others},
            f"{task} seeds": lambda value: value.seeds,
            f"{task} without a score (seeds)": lambda value: sum(value.outcomes.values()),
            f"{task} outcome": _outcome,
        },
    )


def _outcome(value: Score) -> str | None:
    return " and ".join([*(["ok"] if value.seeds else []), *value.outcomes]) or None


def _other(name: str) -> Callable[[Score], float | None]:
    return lambda value: value.others.get(name)


def score_text(value: Score) -> str:
    """Format `main ± standard deviation / other metrics`, and what went wrong."""
    failed = ", ".join(
        f"{count} {MARKS[outcome]}" if count > 1 else MARKS[outcome]
        for outcome, count in value.outcomes.items()
    )
    if value.mean is None:
        return failed or "-"
    spread = "" if value.spread is None else f" ± {score(value.spread, value.metric)}"
    others = "".join(f" / {score(other, name)}" for name, other in value.others.items())
    return score(value.mean, value.metric) + spread + others + (f" ({failed})" if failed else "")
