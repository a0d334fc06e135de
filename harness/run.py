"""The main job: `python -m harness.run SUITE [key=value ...]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.command import Only, Overrides, SuiteFile
from harness.errors import UserError, exit_on_user_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.record import Record
    from harness.store import Store
    from harness.suite.suite import Cell, Suite

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
EXAMPLES = """Examples:

  python -m harness.run suites/quick.yaml

  python -m harness.run suites/glue.yaml --dry-run tasks=[rte,mrpc]

  python -m harness.run suites/sst2_minilm.yaml data_root=DIR train.epochs=1 --only '*/lora*/*'
"""


@app.command(epilog=EXAMPLES)
def run(
    suite: SuiteFile,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="run folder; default runs/<suite>")] = None,
    dry_run: Annotated[bool, typer.Option(help="list the cells and do no work")] = False,
    only: Only = "*",
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
) -> None:
    """Run every cell of a suite that has no record yet, then print the comparison table."""
    with exit_on_user_error():
        raise SystemExit(
            _main(
                suite,
                overrides or [],
                out,
                dry_run,
                only,
                limit,
                force,
                gpus,
                60 * checkpoint_minutes,
                export,
            )
        )


def _main(
    file: Path,
    overrides: list[str],
    out: Path | None,
    dry_run: bool,
    only: str,
    limit: int | None,
    force: bool,
    gpus: str | None,
    checkpoint_seconds: float,
    export: Literal["adapter", "model"] | None,
) -> int:
    from harness.engines.live import Live
    from harness.engines.local import LocalEngine
    from harness.gpus import visible_devices
    from harness.store import Store
    from harness.suite.load import load_suite
    from harness.suite.preflight import check

    suite = load_suite(file, overrides)
    cells = suite.cells()
    store = Store(out or Path("runs") / suite.name)
    chosen = choose(cells, only)
    todo = [cell for cell in chosen if force or not store.is_done(cell)][:limit]
    if export:
        bare = [cell for cell in chosen if cell not in todo and not _exported(store, cell, export)]
        _say_what_has_no_export(bare)
    if dry_run:
        _print_cells(chosen, todo, store)
        return 0
    check(todo)
    devices = visible_devices(gpus)
    with store.lock() as lock:
        # Another run may have finished some of them while this one waited for the lock.
        todo = [cell for cell in todo if force or not store.is_done(cell)]
        for cell in todo if force else ():
            store.drop_checkpoint(cell)
        store.write_manifest(suite.model_dump(mode="json"), cells)
        try:
            with Live(total=len(todo), done_before=len(chosen) - len(todo)) as live:
                engine = LocalEngine(store, devices, lock, checkpoint_seconds, export)
                engine.run(todo, live.listen)
        except KeyboardInterrupt:
            print("interrupted; the same command runs what is missing, from the last checkpoint")
            return 130
        finally:
            _report(store, suite)
    return 0


def _exported(store: Store, cell: Cell, kind: str) -> bool:
    record = store.read(cell)
    return record is not None and record.export is not None and record.export.kind == kind


def _say_what_has_no_export(cells: Sequence[Cell]) -> None:
    """A finished cell's weights are gone: only running it again could write them."""
    if cells:
        print(f"{len(cells)} cells finished before without this export, such as {cells[0].path}; "
              "--force runs them again")  # fmt: skip


def choose(cells: Sequence[Cell], only: str, option: str = "--only") -> list[Cell]:
    """Return the cells whose path matches the glob.

    Raises:
        UserError: none does.
    """
    from fnmatch import fnmatch

    chosen = [cell for cell in cells if fnmatch(cell.path, only)]
    if not chosen:
        paths = ", ".join(cell.path for cell in cells[:3])
        raise UserError(f"{option} {only!r} matches none of {len(cells)} cells, such as {paths}")
    return chosen


def _print_cells(chosen: Sequence[Cell], todo: Sequence[Cell], store: Store) -> None:
    waiting = {cell.key for cell in todo}
    for cell in chosen:
        record = None if cell.key in waiting else store.read(cell)
        state = record.outcome if record else "to run" if cell.key in waiting else "later"
        print(f"{state:10}  {cell.path}  {cell.key}")
    print(f"{len(chosen)} cells, {len(todo)} to run, out: {store.folder}")


def _report(store: Store, suite: Suite) -> None:
    from harness.report import write_report

    records: list[Record] = store.records()
    if records:
        write_report(store, terminal=True)
    failed = [record for record in records if record.outcome != "ok"]
    for record in failed:
        print(f"{record.outcome}: {record.path}: {record.message or 'see its log'}")


if __name__ == "__main__":
    app()
