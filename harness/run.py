"""The main job: `python -m harness.run SUITE [key=value ...]`."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.command import (
    DONE,
    FAILED,
    INTERRUPTED,
    Formats,
    Only,
    Overrides,
    Plugins,
    SuiteFile,
    command,
    command_line,
    examples,
    new_app,
    told,
)
from harness.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.engines.base import Engine, Event
    from harness.engines.needs import Need
    from harness.record import ExportKind
    from harness.store import Store
    from harness.suite.cell import Cell

app = new_app()
EXAMPLES = examples(
    "headroom run suites/quick.yaml",
    "headroom run suites/glue.yaml --dry-run tasks=[rte,mrpc]",
    "headroom run suites/sst2_minilm.yaml data_root=DIR --only '*/lora*/*'",
)


@command(app, epilog=EXAMPLES)
def run(
    file: SuiteFile,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="run folder; default runs/<suite>")] = None,
    dry_run: Annotated[bool, typer.Option(help="list the cells and do no work")] = False,
    only: Only = "*",
    plugin: Plugins = None,
    limit: Annotated[int | None, typer.Option(min=1, help="run at most so many cells")] = None,
    force: Annotated[bool, typer.Option(help="run finished cells again")] = False,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="on this machine, or by Ray on many")
    ] = "local",
    gpus: Annotated[str | None, typer.Option(help="such as 0,1; default: all there are")] = None,
    address: Annotated[
        str | None, typer.Option(help="of a Ray cluster, such as auto; default: this machine alone")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="of the Ray nodes to use, such as ray.io/accelerator-type=H100; may be repeated",
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="cells at a time on a GPU, or on the CPU, as far as they fit")
    ] = 1,
    send_unfit: Annotated[
        bool, typer.Option(help="also run what fits no device by its forecast")
    ] = False,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0, help="training time between the checkpoints of a cell")
    ] = 5.0,
    cell_minutes: Annotated[
        float | None, typer.Option(min=0, help="end a cell that takes longer; default: never")
    ] = None,
    silent_minutes: Annotated[
        float,
        typer.Option(min=0, help="end a cell of which nothing is heard for so long; 0: never"),
    ] = 120.0,
    retries: Annotated[
        int, typer.Option(min=0, max=10, help="how often a cell that crashed is run again")
    ] = 1,
    retry_failed: Annotated[
        bool, typer.Option(help="also run again what ended out of memory or diverged")
    ] = False,
    on_oom: Annotated[
        Literal["stop", "halve"],
        typer.Option(
            help="where a batch does not fit: that is the result, or the cell runs again with half "
            "of it in twice as many passes"
        ),
    ] = "stop",
    export: Annotated[
        Literal["adapter", "model"] | None,
        typer.Option(
            help="also write the trained adapters, or the finished models, as safetensors"
        ),
    ] = None,
    formats: Formats = "",
) -> int:
    """Run every cell of a suite that has no record yet, then print the comparison table."""
    from harness.engines.child import Limits
    from harness.engines.opening import Wanted, opened, refuse_options
    from harness.forecasting.attachable import check_attach
    from harness.paths import path_part
    from harness.provenance import Invocation
    from harness.reporting.report import formats_of
    from harness.reporting.terminal import counting
    from harness.store import Store
    from harness.suite.load import load_suite
    from harness.suite.preflight import check_cells, check_own_data
    from harness.suite.suite import choose

    asked_formats = formats_of(formats)
    refuse_options(engine, gpus, address, label or ())
    suite = load_suite(file, overrides or [], plugin or [])
    cells = suite.cells()
    store = Store(out or Path("runs") / path_part(suite.name))
    chosen = choose(cells, only)
    halve = on_oom == "halve"
    todo = [c for c in chosen if force or _waits(store, c, retry_failed, halve)][:limit]
    if dry_run:
        check_own_data(chosen)
        _print_cells(chosen, todo, store)
        return DONE
    check_cells(todo, export, elsewhere=address is not None)
    with counting("checking methods") as progress:
        check_attach(todo, progress)
    with store.lock() as lock:
        # Another run may have finished some of them while this one waited for the lock.
        todo = [cell for cell in todo if force or _waits(store, cell, retry_failed, halve)]
        store.make_room(todo)
        for cell in todo if force else ():
            store.drop_checkpoint(cell)
        store.write_manifest(suite.model_dump(mode="json"), cells)
        asked = Invocation(
            command=command_line(
                "run", str(file), *(overrides or []), only=only, plugin=plugin, limit=limit,
                force=force, retry_failed=retry_failed, cell_minutes=cell_minutes, gpus=gpus,
                jobs=jobs if jobs > 1 else None, engine=engine if engine != "local" else None,
                address=address, label=label, send_unfit=send_unfit,
                on_oom=on_oom if halve else None, export=export, out=out,
            ),
            overrides=overrides or [],
        )  # fmt: skip
        limits = Limits(cell_minutes and 60 * cell_minutes, 60 * silent_minutes or None,
                        retries=retries, halve=halve, afresh=force)  # fmt: skip
        wanted = Wanted(60 * checkpoint_minutes, export, asked, limits, jobs, gpus, address,
                        tuple(label or ()))  # fmt: skip
        with opened(engine, store, lock, wanted) as running:
            return _work(running, chosen, todo, asked_formats, send_unfit=send_unfit or halve)


def _waits(store: Store, cell: Cell, retry_failed: bool, halve: bool) -> bool:
    """Tell whether the cell has no result yet, or none that is good enough."""
    from harness.suite.batches import smaller

    record = store.read(cell)
    if record is None or not record.is_final or (retry_failed and record.outcome != "ok"):
        return True
    return halve and smaller(cell, record) is not None


def _work(
    engine: Engine,
    chosen: Sequence[Cell],
    todo: Sequence[Cell],
    formats: Sequence[str] = ("md", "csv"),
    *,
    send_unfit: bool = False,
) -> int:
    """Run what is to do, convert what was asked for, report all; returns the exit code."""
    from harness.engines.asking import needs_for

    store = engine.store
    try:
        with _ended_as_by_ctrl_c():
            needs = needs_for(engine, todo, send_unfit=send_unfit)
            failed = _run_all(engine, todo, needs, done_before=len(chosen) - len(todo))
        if engine.export:
            _export_finished(store, chosen, engine.export)
        code = FAILED if failed else _exit_code(store, chosen)
    except KeyboardInterrupt:
        print("interrupted; the same command runs what is missing, from the last checkpoint")
        code = INTERRUPTED
    finally:
        reported = _report(store, formats)
    return code if reported else code or FAILED


@contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """Have a scheduler's SIGTERM and a lost terminal's SIGHUP end the run as Ctrl-C does."""

    def end(number: int, frame: object) -> None:
        if number == signal.SIGHUP:  # nobody reads any more, and writing would fail
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_code(store: Store, cells: Sequence[Cell]) -> int:
    """Return FAILED where a cell crashed or was interrupted; the others are results."""
    records = [record for record in map(store.read, cells) if record is not None]
    return DONE if all(record.is_answer for record in records) else FAILED


def _run_all(
    engine: Engine, cells: Sequence[Cell], needs: Sequence[Need], done_before: int
) -> bool:
    """Run the cells; says whether one of them failed, also where an earlier result stays."""
    from harness.engines.live import Live

    answers: list[bool] = []
    flops = {cell.path: need.flops for cell, need in zip(cells, needs, strict=False)}
    with Live(total=len(cells), done_before=done_before, flops=flops) as live:

        def listen(event: Event) -> None:
            if event.record is not None:
                answers.append(event.record.is_answer)
            live.listen(event)

        engine.run(cells, listen, needs)
    return not all(answers)


def _export_finished(store: Store, cells: Sequence[Cell], kind: ExportKind) -> None:
    """Make models of the adapters that finished cells have left; nothing trains or goes away.

    Where there is no adapter either, a finished cell's weights are gone.
    """
    gone = []
    for cell in cells:
        record = store.read(cell)
        if record is None or record.outcome != "ok" or store.exported(cell, kind):
            continue
        adapter = store.exported(cell, "adapter")
        if adapter and kind == "model":
            _convert(cell, adapter, store.export_folder(cell, kind))
        elif not record.message:  # else it says why it has none
            gone.append(cell)
    if gone:
        print(f"{len(gone)} cells finished before without this export, such as {gone[0].path}; "
              "--force runs them again")  # fmt: skip


def _convert(cell: Cell, adapter: Path, folder: Path) -> None:
    from harness.export import convert

    try:
        print(f"{cell.path}: model of its adapter, for {convert(adapter, folder).reader}: {folder}")
    except Exception as error:  # the others go on
        print(f"{cell.path}: no model of its adapter: {type(error).__name__}: {error}")


def _print_cells(chosen: Sequence[Cell], todo: Sequence[Cell], store: Store) -> None:
    waiting = {cell.key for cell in todo}
    for cell in chosen:
        record = None if cell.key in waiting else store.read(cell)
        state = record.outcome if record else "to run" if cell.key in waiting else "later"
        print(f"{state:10}  {cell.path}  {cell.key}")
    print(f"{len(chosen)} cells, {len(todo)} to run, out: {store.folder}")


def _report(store: Store, formats: Sequence[str]) -> bool:
    """Report what there is; tells whether that went well: a full disk hides no exit code."""
    from harness.printed import lines
    from harness.reporting.report import write_report

    try:
        records = store.records()
        if records:
            write_report(store, formats=formats)
    except (OSError, UserError) as error:
        print(f"no report: {told(error)}", file=sys.stderr)
        return False
    for record in records:
        if record.outcome != "ok" or record.message:
            why = record.message or "see its log"
            print(f"{record.outcome}: {lines(f'{record.path}: {why}')}")
    return True


if __name__ == "__main__":
    app()
