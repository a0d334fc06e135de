"""The processes of a cell on several devices: whatever ends one of them ends the cell."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from cells import cell_of

from harness.engines import ranks
from harness.engines.base import Event, Order
from harness.engines.child import Limits
from harness.engines.local import LocalEngine
from harness.engines.ranks import Others
from harness.store import Store
from harness.training.ranks import Lost

ORDER = "import json, os, signal, sys; order = json.loads(sys.stdin.readline());"


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return one other rank that does what is given, and what is told of it where all wait."""
    monkeypatch.setattr(ranks, "GRACE_SECONDS", 0.1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    cell = cell_of(tmp_path, "lora", "train.devices=2")
    order = Order(
        cell=cell.model_dump(mode="json"), plugins=[], folder=tmp_path, lock=0,
        checkpoint_seconds=1.0,
    )  # fmt: skip

    def make(does: str) -> tuple[Others, list[Lost], threading.Event]:
        told, heard = [], threading.Event()

        def stuck(lost: Lost) -> None:
            told.append(lost)
            heard.set()

        monkeypatch.setattr(ranks, "COMMAND", [sys.executable, "-c", f"{ORDER} {does}"])
        return Others(order, cell, tmp_path / "checkpoint", stuck), told, heard

    return make


@pytest.mark.parametrize(
    ("does", "outcome", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "crashed", "rank 1: signal SIGKILL"),
        ("sys.exit(3)", "crashed", "rank 1: exit code 3"),
        (
            "os.write(order['told'], json.dumps({'outcome': 'oom', 'message': 'CUDA: full'})"
            ".encode()); sys.exit(1)",
            "oom", "CUDA: full (rank 1)",
        ),
    ],
    ids=["killed", "exit", "oom"],
)  # fmt: skip
def test_what_ended_a_rank_is_told(others: Any, does: str, outcome: str, message: str) -> None:
    """First to a process that hears of it by itself, then to whoever ends one that does not."""
    cell, told, heard = others(does)
    lost = cell.lost()
    assert lost is not None
    assert (lost.outcome, lost.message) == (outcome, message)
    assert cell.ran_out() == (lost if outcome == "oom" else None)
    assert heard.wait(20)
    assert told == [lost]
    cell.close()


@pytest.mark.parametrize("code", [0, 143])
def test_a_rank_that_ends_as_it_should_is_nobodys_trouble(others: Any, code: int) -> None:
    ended = f"os.close(order['told']); os._exit({code})"
    cell, told, heard = others(ended)
    assert not heard.wait(0.5)
    assert cell.lost() is None
    assert not told
    cell.close()


def test_a_cell_on_two_devices_survives_the_kill_of_a_rank(tmp_path: Path, odd_cells: Any) -> None:
    """One record, of the second attempt; it says how the first one ended."""
    [cell] = odd_cells(
        f"""
        first = "{tmp_path}/first"
        if os.environ["RANK"] == "1" and not os.path.exists(first):
            open(first, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        "train.devices=2", "train.epochs=1", methods="bitfit",
    )  # fmt: skip
    store, events = Store(tmp_path / "out"), list[Event]()
    with store.lock() as lock:
        limits = Limits(retries=1, back_off=0.0)
        LocalEngine(store, [], lock, limits=limits).run([cell], events.append)
    [record] = [event.record for event in events if event.record is not None]
    assert (record.outcome, record.message) == ("ok", None)
    assert record.attempts == ["rank 1: signal SIGKILL"]
    assert record.memory is not None
    assert [one.rank for one in record.memory.ranks] == [0, 1]
    assert store.read(cell) == record
