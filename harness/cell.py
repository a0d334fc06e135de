"""One cell from start to end: the spine of a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import fmean
from typing import TYPE_CHECKING, Any

from harness.record import Export, ExportKind, Outcome, Record
from harness.store import Store
from harness.suite.suite import Cell

if TYPE_CHECKING:
    from harness.training.checkpoint import Checkpoints
    from harness.training.loop import Loop
    from harness.training.state import Job

Progress = Callable[[dict[str, Any]], None]


def new_record(cell: Cell, outcome: Outcome, seconds: float, **rest: Any) -> Record:
    """Return a record of the cell with what every outcome has, and `rest`."""
    began = datetime.now(UTC).timestamp() - seconds
    return Record(
        key=cell.key,
        path=cell.path,
        suite=cell.suite,
        cell=cell.model_dump(mode="json"),
        outcome=outcome,
        seconds=seconds,
        started=datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        **rest,
    )


def run_cell(
    cell: Cell,
    progress: Progress,
    checkpoints: Checkpoints | None = None,
    export: tuple[ExportKind, Store] | None = None,
) -> Record:
    """Run the cell and return its record; running out of memory and divergence are results.

    `export` says what to write to deploy, and below which store.
    """
    import torch

    from harness import env
    from harness.forecasting.own_run import Beside
    from harness.training.loop import Diverged, Loop
    from harness.training.setup import build_job

    began = time.perf_counter()
    beside = Beside()
    known: dict[str, Any] = {"environment": env.describe()}
    outcome: Outcome = "ok"
    try:
        job = build_job(cell, progress, known, checkpoints)
        with job.clock.beside("metering"):
            progress({"doing": "forecasting"})
            known["forecast"] = beside.forecast(cell, job)
        forward, parameters = _forward_flops(job), _parameters(job)
        loop = Loop(job)
        try:
            loop.run()
        finally:  # a diverged run keeps what it reached
            known |= _figures(job, loop, forward, parameters)
        if export:
            known |= _export(cell, job, loop, *export)
    except Diverged as error:
        outcome, known["message"] = "diverged", str(error)
    except torch.OutOfMemoryError as error:
        outcome, known["message"] = "oom", f"CUDA: {_first_line(error)}"
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "can't allocate memory" not in str(error):
            raise
        outcome, known["message"] = "oom", f"host memory: {_first_line(error)}"
    return new_record(cell, outcome, time.perf_counter() - began, **known)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _export(cell: Cell, job: Job, loop: Loop, kind: ExportKind, store: Store) -> dict[str, Any]:
    """Write what a user deploys; a full disk is no reason to lose the run."""
    from harness.export import recipe_of, write

    folder = store.export_folder(cell)
    recipe = recipe_of(cell, job.task, job.plan)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        size = write(folder, kind, recipe, job.handle, loop.state.names)
    except OSError as error:
        return {"message": f"not exported: {error}"}
    where = str(folder.relative_to(store.folder))
    return {"export": Export(kind=kind, folder=where, bytes=size)}


def _forward_flops(job: Job) -> Any:
    from harness.metering.flops import forward_flops

    with job.clock.beside("metering"):
        return forward_flops(job.model, job.order.tensors([0], job.device))


def _figures(job: Job, loop: Loop, forward: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Collect everything that the record holds about the run."""
    result = loop.result
    # Out of memory between two evaluations leaves the second one without scores.
    scored = all(name in result.scores for name in job.data.report_on)
    return {
        "steps": result.steps,
        "scores": result.scores,
        **(_headline(job, result.scores) if scored else {}),
        "best_epoch": result.best_epoch,
        "history": result.history,
        "final_loss": result.final_loss if result.steps else None,
        "resumed_at": result.resumed_at,
        "parameters": {
            **parameters,
            "adapter_trainable_mean": result.trainable_sum / max(1, result.steps),
        },
        "memory": job.meter.report(job.clock.phase_medians()),
        "flops": _flops(job, forward),
        "time": job.clock.report(),
        "method_state": job.handle.report(),
        "compacted": result.compacted,
    }


def _headline(job: Job, scores: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Say which of the scores the tables show."""
    data = job.data
    metrics = dict.fromkeys((data.main_metric, *job.task.metrics))
    several = len(data.report_on) > 1
    return {
        "main_metric": data.main_metric,
        "main_score": fmean(scores[name][data.main_metric] for name in data.report_on),
        "averaged_score": fmean(
            scores[name][metric] for name in data.report_on for metric in data.averaged
        ),
        "reported": {
            f"{metric} {name}" if several else metric: scores[name][metric]
            for metric in metrics
            for name in data.report_on
        },
    }


def _parameters(job: Job) -> dict[str, Any]:
    """Count before the first step: a method may fold tensors away or drop them."""
    adapter = list(job.handle.parameters())
    frozen = [t for t in job.handle.buffers.values() if t.is_floating_point()]
    return {
        "total": sum(p.numel() for p in job.model.parameters()),
        "adapter_trainable": sum(p.numel() for p in adapter),
        "adapter_stored": sum(t.numel() for t in (*adapter, *frozen)),
        "head_trainable": sum(p.numel() for p in job.head),
    }


def _flops(job: Job, forward: Any) -> dict[str, Any]:
    phases, steps = job.meter.flops, [phase.steps for phase in job.meter.phases]
    counted = bool(phases) and all(phases)
    return {
        "forward_macs": forward.macs,
        "forward": forward.flops,
        "step": phases[0] // max(1, steps[0]) if counted else None,
        "training": sum(phases) if counted else None,
        "unsupported": list(forward.unsupported),
        "note": forward.note,
    }
