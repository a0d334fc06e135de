"""One cell from start to end: the spine of a run.

The record is made first, and filled as the run goes on: whatever ends it, what was reached is kept.
"""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import TYPE_CHECKING, Any

from harness.durable import draft_of
from harness.models.attention import resolved
from harness.out_of_memory import Batches, is_of_device, is_out_of_memory
from harness.provenance import Data
from harness.record import (
    HOST_MEMORY,
    Export,
    ExportKind,
    Flops,
    Outcome,
    Parameters,
    Record,
    sentences,
)
from harness.store import Store
from harness.suite.batches import as_it_runs
from harness.suite.cell import Cell

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.metering.flops import ForwardFlops
    from harness.tasks.base import TaskData
    from harness.training.checkpoint import Checkpoints
    from harness.training.ranks import Ranks
    from harness.training.setup import Progress, Setup


def new_record(cell: Cell, outcome: Outcome = "ok", seconds: float = 0.0, **rest: Any) -> Record:
    """Return a record of the cell as of `seconds` after its start, with what every one has."""
    began = datetime.now(UTC) - timedelta(seconds=seconds)
    return Record(
        key=cell.key,
        path=cell.path,
        suite=cell.suite,
        cell=cell.model_dump(mode="json"),
        outcome=outcome,
        seconds=seconds,
        started=began.isoformat(timespec="seconds"),
        **rest,
    )


def run_cell(
    cell: Cell,
    progress: Progress,
    checkpoints: Checkpoints | None = None,
    export: tuple[ExportKind, Store] | None = None,
    join: Callable[[], Ranks] | None = None,
    batches: Batches | None = None,
) -> Record:
    """Run the cell and return its record; running out of memory and divergence are results.

    Args:
        cell: to run.
        progress: told of what goes on.
        checkpoints: of this cell; None: it cannot be taken up.
        export: what to write to deploy, and below which store.
        join: meets the cell's other ranks, each of which runs this function; None: there are none.
        batches: smaller ones than the cell's own, which did not fit.

    Raises:
        UserError: the cell cannot run as it is.
        Interrupted: the run was asked to end, and its checkpoint is written.
    """
    from harness import env
    from harness.forecasting.own_run import OwnForecast
    from harness.plugins import in_use
    from harness.training.kernels import pinned_kernel
    from harness.training.lacking import Heard
    from harness.training.loop import Diverged
    from harness.training.ranks import ALONE
    from harness.training.together import put_together

    began, record = time.perf_counter(), new_record(cell)
    runs, heard = as_it_runs(cell, batches, record), Heard(progress)
    forecast = OwnForecast()
    ranks = join() if join else ALONE
    record.environment = env.describe()
    try:
        with pinned_kernel(cell.train.attention):
            setup = _set_up(runs, record, heard, checkpoints, ranks)
            with setup.clock.apart("metering"):
                heard({"doing": "forecasting"})
                record.forecast = forecast.of(runs, setup)
            _train(record, setup)
        if export:
            heard({"doing": "exporting"})
            _export(record, cell, setup, *export)
    except Diverged as error:
        record.outcome, record.message = "diverged", str(error)
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            whose = "CUDA" if is_of_device(error) else HOST_MEMORY
            record.outcome, record.message = "oom", f"{whose}: {_first_line(error)}"
        elif elsewhere := ranks.ran_out():  # which ends the talk with it
            record.outcome, record.message = "oom", elsewhere.message
            record.out_of_memory = elsewhere.out_of_memory
        else:
            raise
        heard.tell_lack(record)
        if record.forecast is None and not record.is_host_oom:  # else data would be read once more
            record.forecast = forecast.without_setup(runs)
    if record.outcome in ("ok", "diverged"):  # all ranks come to the same end
        put_together(record, ranks)
    record.environment.plugins = in_use()
    record.seconds = time.perf_counter() - began
    return record


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _set_up(
    cell: Cell, record: Record, progress: Progress, checkpoints: Checkpoints | None, ranks: Ranks
) -> Setup:
    """Load data and model, and put the run together; notes in the record which they are."""
    from harness.models.files import provenance
    from harness.models.load import redrawn
    from harness.training.attach import remarks_on
    from harness.training.setup import load_cell_data, load_cell_model, set_up

    progress({"doing": "loading data"})
    data = load_cell_data(cell)
    record.data = _describe(cell, data)
    progress({"doing": "loading model"})
    model = load_cell_model(cell)
    record.cell["train"]["attention"] = resolved(cell.train.attention, model)
    record.provenance = provenance(cell.model, tokenizer=cell.family.preparer == "tokenizer")
    record.provenance.redrawn = redrawn(cell.model, model) or None
    setup = set_up(cell, data, model, progress, checkpoints, ranks)
    record.data.notes += setup.encoding_notes()
    remarks = remarks_on(cell.configured_method, setup.model, cell.train, setup.plan)
    record.remarks = sentences(remarks)
    return setup


def _describe(cell: Cell, data: TaskData) -> Data:
    return Data(
        source=data.source,
        fingerprint=data.fingerprint,
        protocol=cell.protocol,
        train_rows=len(data.train),
        evaluation_rows={name: len(rows) for name, rows in data.evaluations.items()},
        evaluation="generation" if cell.generation else "logits",
        notes=list(data.notes),
    )


def _train(record: Record, setup: Setup) -> None:
    """Run the loop; a diverged or interrupted run keeps what it reached."""
    import torch

    from harness.metering.flops import forward_flops
    from harness.training.loop import Loop

    setup.progress({"doing": "counting FLOPs"})
    with setup.clock.apart("metering"):
        forward = forward_flops(setup.model, setup.full_example())
        if setup.device.type == "cuda":
            torch.cuda.empty_cache()  # what this pass left cached, no training step reserved
    parameters = _parameters(setup)
    try:
        loop = Loop(setup)
        record.analyses = loop.studies.results  # filled as the run goes on
        loop.run()
        record.shortfalls = [*sentences(setup.handle.shortfalls()), *loop.studies.shortfalls()]
    except Exception as error:
        try:
            _fill(record, setup, forward, parameters)
        except Exception as second:  # what ended the run is what people want to know
            error.add_note(f"and what was measured until then cannot be told: {second!r}")
        raise
    _fill(record, setup, forward, parameters)


def _parameters(setup: Setup) -> Parameters:
    """Count before the first step: a method may fold tensors away or drop them."""
    from methods import surgery

    adapter = list(setup.handle.parameters())
    frozen = [t for t in setup.handle.buffers.values() if t.is_floating_point()]
    return Parameters(
        total=surgery.num_parameters(setup.model),
        adapter_trainable=sum(p.numel() for p in adapter),
        adapter_stored=sum(t.numel() for t in (*adapter, *frozen)),
        head_trainable=sum(p.numel() for p in setup.state.head),
        adapter_trainable_mean=0.0,
    )


def _fill(record: Record, setup: Setup, forward: ForwardFlops, parameters: Parameters) -> None:
    """Take over everything that the run measured and found out."""
    result = setup.state.result
    record.steps, record.resumed_at = result.steps, result.resumed_at
    record.epochs = result.steps / setup.order.steps_per_epoch
    record.scores, record.history = result.scores, result.history
    record.best_epoch = result.best_epoch
    record.final_loss = result.final_loss if result.steps else None
    mean = result.trainable_sum / max(1, result.steps)
    record.parameters = parameters.model_copy(update={"adapter_trainable_mean": mean})
    record.memory = setup.meter.report(setup.clock.phase_medians())
    record.flops = _flops(setup, forward)
    record.time = setup.clock.report()
    record.out_of_memory = setup.meter.lacking
    record.method_state = setup.handle.report()
    record.frozen_at = setup.state.freezing()
    record.compacted = result.compacted
    # Out of memory between two evaluations leaves the second one without scores.
    if all(name in result.scores for name in setup.data.report_on):
        _headline(record, setup)


def _headline(record: Record, setup: Setup) -> None:
    """Say which of the scores the tables show."""
    data, scores = setup.data, setup.state.result.scores
    metrics = dict.fromkeys((data.main_metric, *setup.task.metrics))
    several = len(data.report_on) > 1
    record.main_metric = data.main_metric
    record.main_score = fmean(scores[name][data.main_metric] for name in data.report_on)
    record.lowest = data.lowest
    if data.averaged:
        record.averaged_score = fmean(
            scores[name][metric] for name in data.report_on for metric in data.averaged
        )
    record.reported = {
        f"{metric} {name}" if several else metric: scores[name][metric]
        for metric in metrics
        for name in data.report_on
    }


def _flops(setup: Setup, forward: ForwardFlops) -> Flops:
    phases, steps = setup.meter.flops, [phase.steps for phase in setup.meter.phases]
    counted = bool(phases) and all(phases)
    return Flops(
        forward_macs=forward.macs,
        forward=forward.flops,
        forward_length=setup.full_shape.length,
        step=phases[0] // max(1, steps[0]) if counted else None,
        training=sum(phases) if counted else None,
        unsupported=list(forward.unsupported),
        note=forward.note,
    )


def _export(record: Record, cell: Cell, setup: Setup, kind: ExportKind, store: Store) -> None:
    """Write what a user deploys; whatever fails in it is no reason to lose the run."""
    from harness.export import Extras, recipe_of, write

    folder = store.export_folder(cell, kind)
    try:
        extras = Extras(setup.preparer, setup.task.label_names)
        done = write(
            folder, kind, recipe_of(cell, setup.plan), setup.handle, setup.state.names,
            extras=extras,
        )  # fmt: skip
    except Exception as error:  # a full disk, adapters that do not merge, a library's limits
        shutil.rmtree(draft_of(folder), ignore_errors=True)
        record.message = f"not exported: {type(error).__name__}: {_first_line(error)}"
        return
    record.export = Export(
        kind=kind, folder=str(folder.relative_to(store.folder)), bytes=done.num_bytes,
        reader=done.reader, reason=done.reason,
    )  # fmt: skip
