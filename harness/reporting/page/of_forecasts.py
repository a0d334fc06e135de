"""Forecasts as the page needs them: a row per cell and stage, with a verdict for each card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.forecasting.result import Forecast
from harness.reporting.forecasts import fit_text
from harness.reporting.page.memory import split_of
from harness.reporting.page.pool import Pool, known
from harness.reporting.step_times import step_text


@dataclass(frozen=True)
class Told:
    """What tells rows of one method apart: kernels, and so peaks, may differ by the card."""

    stage: bool
    seed: bool
    card: bool

    def name(self, entries: Sequence[Forecast]) -> str:
        """Return the method with the grid's values, and with what tells its rows apart."""
        *_, seed = path = entries[0].cell.split("/")
        words = " ".join(path[2:-1] or [entries[0].method])
        cards = "/".join(entry.gpu for entry in entries)
        more = {
            f" {seed}": self.seed,
            f", {entries[0].stage}": self.stage,
            f" ({cards})": self.card,
        }
        return words + "".join(text for text, wanted in more.items() if wanted)


def forecasts_data(forecasts: Sequence[Forecast], pool: Pool) -> dict[str, Any]:
    """Return the forecasts of a suite as plain data: a view of each task, a run of each row."""
    rows: dict[tuple[str, str, int | None], list[Forecast]] = {}
    for entry in forecasts:
        rows.setdefault((entry.cell, entry.stage, entry.peak_allocated), []).append(entry)
    alike = Counter((cell, stage) for cell, stage, _ in rows)
    told = Told(
        stage=len({entry.stage for entry in forecasts}) > 1,
        seed=len({cell.split("/")[-1] for cell, *_ in rows}) > 1,
        card=max(alike.values(), default=0) > 1,
    )
    full = {told.name(entries) for entries in rows.values() if entries[0].method == "full"}
    tasks = list(dict.fromkeys(entry.task for entry in forecasts))
    views: dict[str, list[dict[str, Any]]] = {task: [] for task in tasks}
    runs = []
    for entries in rows.values():
        name = told.name(entries)
        views[entries[0].task].append(_row(name, entries))
        runs.append(_run(name, entries, pool))
    return known(
        kind="forecast",
        tasks=[{"name": task} for task in tasks],
        models=list(dict.fromkeys(entry.model for entry in forecasts)),
        methods=sorted({run["method"] for run in runs}),
        baseline=full.pop() if len(full) == 1 else None,
        gpus=list(dict.fromkeys(entry.gpu for entry in forecasts)),
        views=[{"name": task, "rows": rows} for task, rows in views.items()],
        runs=runs,
    )


def _row(name: str, entries: Sequence[Forecast]) -> dict[str, Any]:
    entry = entries[0]
    return known(
        model=entry.model,
        method=name,
        runs=1,
        failed={"error": 1} if entry.error else {},
        peak=entry.peak_allocated,
        need=_need(entry),
        split=split_of(entry.split, entry.peak_allocated) if entry.peak_allocated else None,
        adapter=entry.adapter_trainable,
        stored=entry.adapter_stored,
        flops_step=entry.flops_step,
        verdicts={each.gpu: [each.fits, fit_text(each)] for each in entries},
        times={
            each.gpu: [each.step_time.seconds, step_text(each)]
            for each in entries
            if each.step_time
        },
        batches={each.gpu: _batches(each) for each in entries if each.max_batch},
    )


def _need(entry: Forecast) -> int | None:
    """Return the most that an activity reserves; allocates, where there is no card's allocator."""
    return max((n.reserved or n.allocated for n in entry.needs.values()), default=0) or None


def _batches(entry: Forecast) -> int:
    found = entry.max_batch and entry.max_batch.fits
    return found.batch if found else 0


def _run(name: str, entries: Sequence[Forecast], pool: Pool) -> dict[str, Any]:
    entry = entries[0]
    return known(
        path=entry.cell,
        method=name,
        outcome="error" if entry.error else "forecast",
        message=entry.error,
        peak=entry.peak_allocated,
        reserved=entry.peak_reserved,
        rest=entry.at_rest,
        saved=entry.saved_activations,
        peaks=entry.peaks,
        split=split_of(entry.split, entry.peak_allocated) if entry.peak_allocated else None,
        holders=[
            [pool.number(""), pool.number(path), pool.number(""), size, 0]
            for path, size in entry.modules.items()
        ],
        needs={name: need.model_dump() for name, need in entry.needs.items()},
        verdicts={each.gpu: [each.fits, fit_text(each)] for each in entries},
        shapes=[" x ".join(map(str, step)) for step in dict.fromkeys(map(tuple, entry.steps))],
        parameters=pool.number(
            known(
                total=entry.total_parameters,
                adapter_trainable=entry.adapter_trainable,
                head_trainable=entry.head_trainable,
                adapter_stored=entry.adapter_stored,
            )
        ),
        remarks=[pool.number(each) for each in [*entry.assumptions, *entry.remarks]],
        environment=pool.number(entry.choices),
    )
