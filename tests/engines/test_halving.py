"""`--on-oom halve`: what does not fit runs again in smaller batches, until it fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cells import suite_file
from records import record

from harness.engines.base import Event
from harness.engines.halving import Attempt, Halving
from harness.engines.local import LocalEngine
from harness.out_of_memory import Batches, OutOfMemory
from harness.record import Record
from harness.run import _waits
from harness.store import Store
from harness.suite.batches import with_batches
from harness.suite.cell import Cell
from harness.suite.load import load_suite

SUPPORT = Path(__file__).parent.parent / "support"
LACK = OutOfMemory(doing="training", batch_of="training")
QUARTER = Batches(batch_size=2, accumulate=4, eval_batch_size=8)
# Of this bert's steps 4 examples fit and 8 do not.
SMALL_CARD = f"""\
sys.path.insert(0, {str(SUPPORT)!r})
from limited import Limited
from harness.training.loop import Loop
run = Loop.run
def limited(loop):
    with Limited(1_200_000, loop.setup.model.parameters()):
        return run(loop)
Loop.run = limited
"""


def test_a_cell_that_does_not_fit_runs_again_in_halves(tmp_path: Path, odd_cells: Any) -> None:
    store, events = Store(tmp_path / "out"), list[Event]()
    [cell] = odd_cells(SMALL_CARD, "train.epochs=1", methods="{lora: {r: 4}}")
    with store.lock() as lock:
        engine = LocalEngine(store, [], lock, halving=Halving(store, on=True))
        engine.run([cell], events.append)
    [put_off] = [event.put_off for event in events if event.put_off]
    said = "CUDA: CUDA out of memory. Tried to allocate some."
    assert put_off == f"{said}; batch 8 x 1, next 4 x 2, evaluation 8"
    end = store.read(cell)
    assert end is not None
    assert (end.outcome, end.attempts) == ("ok", [put_off])
    assert end.asked_batches == Batches(batch_size=8, accumulate=1, eval_batch_size=8)
    assert (end.cell["train"]["batch_size"], end.cell["train"]["accumulate"]) == (4, 2)
    assert end.resumed_at == []


def stored(folder: Path) -> tuple[Store, Cell]:
    """Return a store with a cell's record: four examples a pass did not fit."""
    store = Store(folder / "out")
    [cell] = load_suite(suite_file(folder, "lora")).cells()
    half = Batches(batch_size=4, accumulate=2, eval_batch_size=8)
    store.write(cell, lacking(cell, half, attempts=["before"]))
    return store, cell


def lacking(cell: Cell, batches: Batches, **rest: Any) -> Record:
    """Return the record of an attempt that ran out of memory with such batches."""
    said = {"outcome": "oom", "message": "CUDA: none", "out_of_memory": LACK}
    end = record(cell, 0.5, **said, **rest)
    end.cell = with_batches(cell, batches).model_dump(mode="json")
    return end


def test_a_later_run_goes_on_below_what_did_not_fit(tmp_path: Path) -> None:
    """A driver that was killed between two attempts, or one that is told to halve only now."""
    store, cell = stored(tmp_path)
    assert _waits(store, cell, retry_failed=False, halve=True)
    assert not _waits(store, cell, retry_failed=False, halve=False)
    ended = ("before", "CUDA: none; batch 4 x 2, evaluation 8, next 2 x 4, evaluation 8")
    assert Halving(store, on=True).first(cell) == Attempt(QUARTER, ended)
    assert Halving(store, on=True, fresh=True).first(cell) == Attempt()
    assert Halving(store, on=False).first(cell) == Attempt()


def test_the_last_half_that_does_not_fit_is_a_result(tmp_path: Path) -> None:
    store, cell = stored(tmp_path)
    last = Batches(batch_size=1, accumulate=8, eval_batch_size=8)
    end = lacking(cell, last)
    store.write(cell, end)
    assert Halving(store, on=True).after(cell, end) is None
    assert not _waits(store, cell, retry_failed=False, halve=True)
