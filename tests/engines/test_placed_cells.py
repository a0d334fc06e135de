"""The local engine on devices that are not there, with cells that only say that they ran."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from records import eight_cells, record

from harness.engines import local
from harness.engines.asking import needs_on, within
from harness.engines.base import Event, Order
from harness.engines.child import Limits
from harness.engines.local import LocalEngine
from harness.engines.needs import Need
from harness.engines.placing import Device
from harness.record import Record
from harness.store import Store
from harness.suite.cell import Cell
from harness.units import GIB

CARDS = [Device("0", "rtx4090", 23 * GIB, places=2), Device("1", "rtx4090", 23 * GIB, places=2)]


class Stage:
    """What the cells do, and what they were told; the most that ran side by side."""

    def __init__(self, store: Store) -> None:
        self.store, self.running, self.most = store, 0, 0
        self.orders: list[Order] = []
        self.seen: list[str] = []
        self.lock = threading.Lock()
        self.made: Callable[[Cell, Order], Record] = lambda cell, order: record(
            cell, 0.5, beside=order.beside
        )


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Cells that write a record at once."""
    found = Stage(Store(tmp_path / "out"))

    class Playing:
        held = 0

        def __init__(self, order: Order, log: Path, environment: Mapping[str, str]) -> None:
            self.order, self.environment = order, environment

        def attend(self, limits: Limits, stopping: threading.Event, hear: Any) -> tuple[int, None]:
            cell = Cell.model_validate(self.order.cell)
            with found.lock:
                found.running += 1
                found.most = max(found.most, found.running)
                found.orders.append(self.order)
                found.seen.append(self.environment.get("CUDA_VISIBLE_DEVICES", "none"))
            time.sleep(0.05)
            found.store.write(cell, found.made(cell, self.order))
            with found.lock:
                found.running -= 1
            return 0, None

    monkeypatch.setattr(local, "Child", Playing)
    return found


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    return eight_cells(tmp_path)


def run(
    stage: Stage, cells: Sequence[Cell], needs: Sequence[Need], devices: Sequence[Device] = CARDS
) -> list[Event]:
    events: list[Event] = []
    limits = Limits(back_off=0.01)
    LocalEngine(stage.store, devices, -1, limits=limits).run(cells, events.append, needs)
    return [event for event in events if event.progress is None]


def need(gib: float, flops: float = 1.0, devices: int = 1) -> Need:
    return Need(devices, (("rtx4090", int(gib * GIB)),), flops)


def test_small_cells_share_cards_and_large_ones_do_not(stage: Stage, cells: list[Cell]) -> None:
    run(stage, cells, [need(5, 9 - n) for n in range(8)])
    assert stage.most == 4
    first = {Cell.model_validate(order.cell).path for order in stage.orders[:4]}
    assert first == {cell.path for cell in cells[:4]}, "the longest"
    assert sorted(stage.seen[:4]) == ["0", "0", "1", "1"]
    assert {order.beside for order in stage.orders} == {1}
    records = [stage.store.read(cell) for cell in cells]
    assert [one.beside for one in records if one] == [1] * 8
    stage.most = 0
    run(stage, cells, [need(20)] * 8)
    assert stage.most == 2


def test_a_cell_that_fits_nowhere_is_not_sent(stage: Stage, cells: list[Cell]) -> None:
    kept = record(cells[1], 0.25)
    stage.store.write(cells[1], kept)
    events = run(stage, cells[:3], [need(24), need(24), need(1)])
    refused, _, ran = (event.record for event in events)
    assert refused is not None
    assert ran is not None
    why = "does not fit by its forecast: rtx4090 24.00 of 23.00 GiB"
    assert (refused.outcome, refused.message, refused.memory) == ("unfit", why, None)
    assert (refused.is_final, refused.is_answer) == (False, True)
    assert len(stage.orders) == 1
    assert stage.store.read(cells[0]) == refused
    assert stage.store.read(cells[1]) == kept, "the result of before stays"
    assert stage.store.read(cells[2]) == ran
    sent = within([need(24)], CARDS)
    run(stage, cells[:1], sent)
    assert stage.store.is_done(cells[0]), "--send-unfit"


def test_memory_that_ran_out_beside_others_is_no_result(stage: Stage, cells: list[Cell]) -> None:
    def made(cell: Cell, order: Order) -> Record:
        outcome = "oom" if cell == cells[0] and order.beside else "ok"
        message = "CUDA: out of memory" if outcome == "oom" else None
        return record(cell, 0.5, outcome=outcome, message=message, beside=order.beside,
                      attempts=order.attempts)  # fmt: skip

    stage.made = made
    events = run(stage, cells[:3], [need(5)] * 3, CARDS[:1])
    [put_off] = [event.put_off for event in events if event.put_off]
    assert put_off == "beside other cells: CUDA: out of memory"
    last = stage.store.read(cells[0])
    assert last is not None
    assert (last.outcome, last.beside, last.attempts) == ("ok", 0, [put_off])
    shared = record(cells[0], 0.5, outcome="oom", message="CUDA: out of memory", beside=1)
    assert not shared.is_final
    assert shared.model_copy(update={"beside": 0}).is_final


def test_a_cell_of_two_devices_sees_both(stage: Stage, cells: list[Cell]) -> None:
    run(stage, cells[:2], [need(5, 2.0, devices=2), need(5)])
    assert stage.seen[0] == "0,1"


def test_where_nothing_is_decided_nothing_is_forecast(
    cells: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(
        "harness.engines.asking.needs_of",
        lambda cells, cards, forecaster: asked.append([card.name for card in cards]) or [],
    )
    one = Device("", "cpu", GIB)
    assert needs_on(cells, [one], None) == []
    assert needs_on([], CARDS, None) == []
    assert asked == []
    needs_on(cells, [Device("", "cpu", GIB, places=2)], None)
    needs_on(cells, [*CARDS, Device("2", "Odd card", GIB)], None)
    assert asked == [["cpu"], ["rtx4090"]]
