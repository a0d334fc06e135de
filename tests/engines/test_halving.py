"""`--on-oom halve`: what does not fit runs again in smaller batches, until it fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cells import suite_file
from records import record

from harness.engines.attempts import another, first
from harness.engines.base import End, Event
from harness.engines.child import Limits
from harness.engines.local import LocalEngine
from harness.engines.needs import Need
from harness.engines.placing import Device, Placed, Turn
from harness.out_of_memory import Batches, OutOfMemory
from harness.record import Record
from harness.run import _waits
from harness.store import Store
from harness.suite.batches import with_batches
from harness.suite.cell import Cell
from harness.suite.load import load_suite

pytestmark = pytest.mark.usefixtures("forked_cells")
SUPPORT = Path(__file__).parent.parent / "support"
LACK = OutOfMemory(doing="training", batch_of="training")
HALF = Batches(batch_size=4, accumulate=2, eval_batch_size=8)
QUARTER = Batches(batch_size=2, accumulate=4, eval_batch_size=8)
LAST = Batches(batch_size=1, accumulate=8, eval_batch_size=8)
HALVE = Limits(halve=True)
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


def lacking(cell: Cell, batches: Batches | None = None, **rest: Any) -> Record:
    """Return the record of an attempt that ran out of memory with such batches."""
    said = {"outcome": "oom", "message": "CUDA: none", "out_of_memory": LACK}
    end = record(cell, 0.5, **{**said, **rest})
    if batches is not None:
        end.cell = with_batches(cell, batches).model_dump(mode="json")
    return end


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    [cell] = load_suite(suite_file(tmp_path, "lora")).cells()
    return cell


def test_a_cell_that_does_not_fit_runs_again_in_halves(tmp_path: Path, odd_cells: Any) -> None:
    store, events = Store(tmp_path / "out"), list[Event]()
    [cell] = odd_cells(SMALL_CARD, "train.epochs=1", methods="{lora: {r: 4}}")
    with store.lock() as lock:
        LocalEngine(store, [], lock, limits=HALVE).run([cell], events.append)
    [put_off] = [event.put_off for event in events if event.put_off]
    said = "CUDA: CUDA out of memory. Tried to allocate some."
    assert put_off == f"{said}; batch 8 x 1, next 4 x 2, evaluation 8"
    end = store.read(cell)
    assert end is not None
    assert (end.outcome, end.attempts) == ("ok", [put_off])
    assert end.asked_batches == Batches(batch_size=8, accumulate=1, eval_batch_size=8)
    assert (end.cell["train"]["batch_size"], end.cell["train"]["accumulate"]) == (4, 2)
    assert end.resumed_at == []


def after(turn: Turn, end: Record, limits: Limits = HALVE, **how: Any) -> Turn | None:
    """Return the turn that follows one on a device of its own."""
    placed = Placed(turn, (Device("0", "rtx4090", 2**34),))
    return another(placed, end, End(0, 1.0, **how), limits, now=0.0)


def test_halves_are_no_retries(cell: Cell) -> None:
    half = after(Turn(cell), lacking(cell))
    assert half is not None
    assert (half.batches, half.halvings, len(half.attempts)) == (HALF, 1, 1)
    crashed = after(half, record(cell, 0.5, outcome="crashed", message="signal SIGSEGV"))
    assert crashed is not None
    assert (crashed.batches, crashed.not_before) == (HALF, HALVE.back_off), "as the first retry"
    quarter = after(crashed, lacking(cell, HALF))
    assert quarter is not None
    assert (quarter.batches, quarter.halvings) == (QUARTER, 2)
    assert after(quarter, record(cell, 0.5, outcome="crashed", message="again")) is None
    assert after(quarter, lacking(cell, LAST)) is None, "one example is the last"


def test_only_what_is_asked_and_helps_is_halved(cell: Cell) -> None:
    turn = Turn(cell)
    assert after(turn, lacking(cell), Limits()) is None
    assert after(turn, lacking(cell), stopping=True) is None
    shared = after(turn, lacking(cell, beside=1))
    assert shared is not None
    assert (shared.alone, shared.batches) == (True, None), "with its device to itself it may fit"


def test_a_later_run_goes_on_below_what_did_not_fit(tmp_path: Path, cell: Cell) -> None:
    """A driver that was killed between two attempts, or one that is told to halve only now."""
    store = Store(tmp_path / "out")
    store.write(cell, lacking(cell, HALF, attempts=["before"]))
    assert _waits(store, cell, retry_failed=False, halve=True)
    assert not _waits(store, cell, retry_failed=False, halve=False)
    turn = first(store, cell, Need(), HALVE)
    ended = ("before", "CUDA: none; batch 4 x 2, evaluation 8, next 2 x 4, evaluation 8")
    assert (turn.batches, turn.attempts, turn.halvings) == (QUARTER, ended, 2)
    for limits in (Limits(), Limits(halve=True, afresh=True)):
        assert first(store, cell, Need(), limits) == Turn(cell)
    store.write(cell, lacking(cell, LAST))
    assert not _waits(store, cell, retry_failed=False, halve=True)
