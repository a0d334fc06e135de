"""The main job: `python -m harness.run SUITE [key=value ...]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.command import Only, Overrides, Plugins, SuiteFile, command, new_app

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.engines.local import LocalEngine
    from harness.store import Store
    from harness.suite.suite import Cell

app = new_app()
EXAMPLES = """Examples:

  headroom run suites/quick.yaml

  headroom run suites/glue.yaml --dry-run tasks=[rte,mrpc]

  headroom run suites/sst2_minilm.yaml data_root=DIR train.epochs=1 --only '*/lora*/*'
"""


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
    gpus: Annotated[str | None, typer.Option(help="such as 0,1; default: all there are")] = None,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0, help="training time between the checkpoints of a cell")
    ] = 5.0,
    export: Annotated[
        Literal["adapter", "model"] | None,
        typer.Option(
            help="also write the trained adapters, or the finished models, as safetensors"
        ),
    ] = None,
) -> int:
    """Run every cell of a suite that has no record yet, then print the comparison table."""
    from harness.engines.local import LocalEngine
    from harness.gpus import visible_devices
    from harness.store import Store
    from harness.suite.load import load_suite
    from harness.suite.preflight import check_cells
    from harness.suite.suite import choose

    suite = load_suite(file, overrides or [], plugin or [])
    cells = suite.cells()
    store = Store(out or Path("runs") / suite.name)
    chosen = choose(cells, only)
    todo = [cell for cell in chosen if force or not store.is_done(cell)][:limit]
    if export:
        _say_what_has_no_export(store, [cell for cell in chosen if cell not in todo], export)
    if dry_run:
        _print_cells(chosen, todo, store)
        return 0
    check_cells(todo)
    devices = visible_devices(gpus)
    with store.lock() as lock:
        # Another run may have finished some of them while this one waited for the lock.
        todo = [cell for cell in todo if force or not store.is_done(cell)]
        for cell in todo if force else ():
            store.drop_checkpoint(cell)
        store.write_manifest(suite.model_dump(mode="json"), cells)
        engine = LocalEngine(store, devices, lock, 60 * checkpoint_minutes, export)
        try:
            _run_all(engine, todo, done_before=len(chosen) - len(todo))
        except KeyboardInterrupt:
            print("interrupted; the same command runs what is missing, from the last checkpoint")
            return 130
        finally:
            _report(store)
    return 0


def _run_all(engine: LocalEngine, cells: Sequence[Cell], done_before: int) -> None:
    from harness.engines.live import Live

    with Live(total=len(cells), done_before=done_before) as live:
        engine.run(cells, live.listen)


def _say_what_has_no_export(store: Store, cells: Sequence[Cell], kind: str) -> None:
    """A finished cell's weights are gone: only running it again could write them."""
    bare = [cell for cell in cells if not _exported(store, cell, kind)]
    if bare:
        print(f"{len(bare)} cells finished before without this export, such as {bare[0].path}; "
              "--force runs them again")  # fmt: skip


def _exported(store: Store, cell: Cell, kind: str) -> bool:
    record = store.read(cell)
    return record is not None and record.export is not None and record.export.kind == kind


def _print_cells(chosen: Sequence[Cell], todo: Sequence[Cell], store: Store) -> None:
    waiting = {cell.key for cell in todo}
    for cell in chosen:
        record = None if cell.key in waiting else store.read(cell)
        state = record.outcome if record else "to run" if cell.key in waiting else "later"
        print(f"{state:10}  {cell.path}  {cell.key}")
    print(f"{len(chosen)} cells, {len(todo)} to run, out: {store.folder}")


def _report(store: Store) -> None:
    from harness.reporting.report import write_report

    records = store.records()
    if records:
        write_report(store)
    for record in records:
        if record.outcome != "ok":
            print(f"{record.outcome}: {record.path}: {record.message or 'see its log'}")


if __name__ == "__main__":
    app()
