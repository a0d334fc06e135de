"""What is made of a cell's process that ended: its record, or one that says how."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from records import eight_cells, record

from harness.engines.base import EXIT_INTERRUPTED, EXIT_USER_ERROR, End, Order, conclude, tail_of
from harness.plugins import Plugin
from harness.store import Store

# Others' processes are killed for memory, too: this one is not said to have been.
FOREIGN = (
    "signal SIGKILL, and the kernel killed 2 for memory on this machine meanwhile: perhaps this "
    "one, which held 3.000 GiB when last seen"
)

WARNING = "some/library.py:3312: FutureWarning: this will go"


@pytest.mark.parametrize(
    ("end", "outcome", "message"),
    [
        (End(EXIT_USER_ERROR, 1.0), "crashed", "the last words"),
        (End(1, 1.0), "crashed", "the last words"),
        (End(3, 1.0), "crashed", "exit code 3"),
        (End(-signal.SIGSEGV, 1.0, oom_kills=1), "crashed", "signal SIGSEGV"),
        (End(-signal.SIGKILL, 1.0), "crashed", "signal SIGKILL"),
        (End(-signal.SIGKILL, 1.0, oom_kills=2, held=3 * 2**30), "crashed", FOREIGN),
        (End(EXIT_INTERRUPTED, 1.0), "interrupted", None),
        (End(-signal.SIGKILL, 1.0, stopping=True), "interrupted", None),
        (End(0, 1.0), "crashed", "exit code 0"),
        (End(-signal.SIGKILL, 1.0, limit="too long"), "crashed", "too long"),
        (End(EXIT_INTERRUPTED, 1.0, limit="too long"), "interrupted", "too long"),
    ],
)
def test_a_silent_end_is_a_record(
    tmp_path: Path, end: End, outcome: str, message: str | None
) -> None:
    cell, store = eight_cells(tmp_path)[0], Store(tmp_path)
    log = store.log_file(cell)
    log.parent.mkdir(parents=True)
    log.write_text(f"{WARNING}\nthe last words\n")
    written = conclude(store, cell, end)
    assert (written.outcome, written.message, written.seconds) == (outcome, message, 1.0)
    assert store.read(cell) == written
    tail = f"{WARNING}\nthe last words"
    assert written.log_tail == (tail if outcome == "crashed" else None)


def test_a_record_of_its_own_stays(tmp_path: Path) -> None:
    cell, store = eight_cells(tmp_path)[0], Store(tmp_path)
    own = record(cell, 0.5)
    store.write(cell, own)
    assert conclude(store, cell, End(0, 1.0)) == own


def test_the_tail_of_a_log_is_short(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail_of(log) == ""
    log.write_bytes(b"\n".join(b"line %d \xff" % i for i in range(100)))
    assert tail_of(log).splitlines()[0].startswith("line 60")


def test_an_order_survives_its_line(tmp_path: Path) -> None:
    cell = eight_cells(tmp_path)[0]
    order = Order(
        cell=cell.model_dump(mode="json"), plugins=[Plugin("mine", tmp_path)], folder=tmp_path,
        lock=3, progress=7, checkpoint_seconds=2.5, export="model",
    )  # fmt: skip
    line = order.model_dump_json()
    assert "\n" not in line
    again = Order.model_validate_json(line)
    assert again == order
    assert type(cell).model_validate(again.cell) == cell


@pytest.mark.parametrize("code", [1, EXIT_INTERRUPTED])
def test_a_result_of_before_outlives_a_run_that_did_not_get_there(
    tmp_path: Path, code: int
) -> None:
    """With --force and then Ctrl-C, or a crash, say."""
    cell, store = eight_cells(tmp_path)[0], Store(tmp_path)
    own = record(cell, 0.5)
    store.write(cell, own)
    ended = conclude(store, cell, End(code, 1.0))
    assert ended.outcome in {"crashed", "interrupted"}
    assert "the result of before stays" in (ended.message or "")
    assert store.read(cell) == own
