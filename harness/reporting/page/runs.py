"""A record as the page needs it: its figures, its phases, and what was alive at its peak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.record import Record
from harness.reporting.comparison import forecast_ratio, time_ratio
from harness.reporting.page.memory import memory_data
from harness.reporting.page.pool import Pool, known


@dataclass(frozen=True)
class Detail:
    """How much of what may be long the page holds of each run.

    Attributes:
        phases: of training.
        epochs: of the history.
        log: characters, from its end.
    """

    phases: int = 60
    epochs: int = 40
    log: int = 4000


FULL, SHORT = Detail(), Detail(phases=8, epochs=10, log=600)
MANY_RUNS = 500  # on a page: each is told in short then


def run_data(record: Record, pool: Pool, detail: Detail = FULL) -> dict[str, Any]:
    """Return a record as plain data; what repeats lies in the pool. Bytes, seconds, fractions.

    Task, model, method and seed are in its path; it is ok where no outcome is named.
    """
    cell, time = record.cell, record.time
    return known(
        path=record.path,
        key=record.key,
        outcome=record.outcome if record.outcome != "ok" else None,
        message=record.message,
        log=_end(record.log_tail, detail.log),
        attempts=record.attempts,
        score=record.main_score if record.outcome == "ok" else None,
        metric=record.main_metric and pool.number(record.main_metric),
        scores=record.scores if record.outcome == "ok" else None,
        steps=record.steps,
        epochs=record.epochs,
        loss=record.final_loss,
        history=_history(record, detail.epochs),
        resumed=record.resumed_at,
        remarks=[pool.number(each) for each in [*record.shortfalls, *record.remarks]],
        parameters=record.parameters and pool.number(record.parameters.model_dump()),
        flops=record.flops and record.flops.training,
        step=time and time.step_median,
        training=time and time.training,
        train=pool.number(_plain(cell.get("train"))),
        options=pool.number(_plain(cell.get("method_options"))),
        environment=pool.number(record.environment.model_dump(exclude_defaults=True)),
        base=pool.number(known(**record.provenance.model_dump()) if record.provenance else {}),
        data=pool.number(known(**record.data.model_dump()) if record.data else {}),
        command=pool.number(record.invocation.command if record.invocation else None),
        ratio=forecast_ratio(record) if record.memory else None,
        time_ratio=time_ratio(record),
        forecast=_forecast(record, pool),
        **(memory_data(record.memory, pool, detail.phases) if record.memory else {}),
    )


def need(record: Record) -> int | None:
    """Return the bytes that a run asks of a card, its CUDA context not included.

    Of training, evaluation and probe: reserved where that was metered, else allocated.
    """
    memory = record.memory
    if memory is None:
        return None
    reserved = [phase.peak_reserved for phase in memory.phases if phase.peak_reserved]
    beside = [memory.peak_evaluation or 0, memory.peak_probe or 0]
    return max(memory.peak_training, *reserved, *beside)


def _forecast(record: Record, pool: Pool) -> dict[str, Any] | None:
    """Return the stages' names, by number, and their peaks; or why there is no forecast."""
    if record.forecast is None:
        return None
    stages = record.forecast.stages
    peaks = [stage.peak_allocated for stage in stages.values()]
    return known(stages=pool.number([*stages]), peaks=peaks, error=record.forecast.error)


def _history(record: Record, most: int) -> list[list[float | None]]:
    """Return epoch, loss and the main metric, thinned out where there are many; the last stays."""
    every = max(1, -(-len(record.history) // most))
    entries = record.history[::-1][::every][::-1]
    return [[entry.get("epoch"), entry.get("loss"), _main(record, entry)] for entry in entries]


def _main(record: Record, entry: Mapping[str, Any]) -> float | None:
    found = [
        scores[record.main_metric]
        for scores in entry.values()
        if isinstance(scores, dict) and record.main_metric in scores
    ]
    return found[0] if found else None


def _end(log: str | None, most: int) -> str | None:
    if not log or len(log) <= most:
        return log
    return f"(the last {most:,} of {len(log):,} characters)\n{log[-most:]}"


def _plain(settings: Any) -> dict[str, Any]:
    return known(**settings) if isinstance(settings, dict) else {}
