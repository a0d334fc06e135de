"""Which cell runs next and where, on devices that are not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from records import eight_cells

from harness.engines.needs import Need
from harness.engines.placing import Device, Placed, Queue, Turn
from harness.suite.cell import Cell
from harness.units import GIB

SMALL = Device("0", "rtx3060", 11 * GIB, "here")
LARGE = Device("1", "a100-80", 79 * GIB, "here")


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    return eight_cells(tmp_path)


def need(gib: float | None, flops: float | None = 1.0, devices: int = 1) -> Need:
    """Return a need of so many GiB on either card."""
    kinds = () if gib is None else ("rtx3060", "a100-80")
    return Need(devices, tuple((kind, int((gib or 0) * GIB)) for kind in kinds), flops)


def started(queue: Queue, now: float = 0.0) -> list[Placed]:
    """Start all that finds room."""
    found = []
    while (placed := queue.next(now)) is not None:
        found.append(placed)
    return found


def paths(placed: list[Placed]) -> list[tuple[str, str]]:
    return [(one.turn.cell.path, "+".join(d.name for d in one.devices)) for one in placed]


def test_the_longest_goes_first_and_one_of_unknown_length_before_all(cells: list[Cell]) -> None:
    needs = [need(1, 5.0), need(1, 9.0), need(1, None), need(1, 9.0)]
    queue = Queue(map(Turn, cells, needs), [SMALL])
    order = []
    while placed := queue.next(0.0):
        order.append(cells.index(placed.turn.cell))
        queue.ended(placed)
    assert order == [2, 1, 3, 0]


def test_without_needs_the_order_is_the_suite_s(cells: list[Cell]) -> None:
    queue = Queue(map(Turn, cells), [replace(SMALL, places=3)])
    [first] = started(queue)
    assert first.turn.cell == cells[0], "what nobody knows runs alone"
    queue.ended(first)
    assert [one.turn.cell for one in started(queue)] == [cells[1]]


def test_memory_decides_which_card_and_how_many_share_one(cells: list[Cell]) -> None:
    needs = [need(40, 9), need(4, 8), need(4, 7), need(4, 6), need(4, 5)]
    queue = Queue(map(Turn, cells, needs), [replace(SMALL, places=8), replace(LARGE, places=2)])
    first = started(queue)
    assert paths(first) == [
        (cells[0].path, "1"), (cells[1].path, "0"), (cells[2].path, "0"), (cells[3].path, "1"),
    ], "idle and small first; two of 4 GiB on 11, two places on the other"  # fmt: skip
    assert first[0].shares
    assert queue.running == 4
    queue.ended(first[2])
    assert paths(started(queue)) == [(cells[4].path, "0")]


def test_a_cell_that_fits_nowhere_is_refused_and_says_so(cells: list[Cell]) -> None:
    needs = [need(80), need(20), need(1, devices=2), need(11)]
    queue = Queue(map(Turn, cells, needs), [SMALL, LARGE])
    refused = dict((turn.cell.path, why) for turn, why in queue.refused())
    assert refused == {
        cells[0].path: "does not fit by its forecast: rtx3060 80.00 of 11.00 GiB, "
                       "a100-80 80.00 of 79.00 GiB",
        cells[2].path: "asks for 2 devices of one machine and kind; the most are 1",
    }  # fmt: skip
    assert len(queue) == 2
    assert paths(started(queue)) == [(cells[1].path, "1"), (cells[3].path, "0")]


def test_short_cells_do_not_keep_a_large_one_waiting(cells: list[Cell]) -> None:
    """It keeps the card that has the least to wait for; the others go on elsewhere."""
    cards = [replace(LARGE, name=name, places=4) for name in "ab"]
    small, large = need(30, 1.0), need(70, 2.0)
    queue = Queue([Turn(cells[0], small), Turn(cells[1], small), Turn(cells[2], small)], cards)
    busy = started(queue)
    assert [where for _, where in paths(busy)] == ["a", "b", "a"]
    for cell, asked in ((cells[3], large), (cells[4], small), (cells[5], need(10, 0.5))):
        queue.put_back(Turn(cell, asked))
    assert paths(started(queue)) == [(cells[5].path, "a")], "there is room for it on b, too"
    queue.ended(busy[1])
    assert paths(started(queue)) == [(cells[3].path, "b")]


def test_a_cell_of_two_devices_gets_them_on_one_machine(cells: list[Cell]) -> None:
    cards = [replace(LARGE, name=f"{host}{number}", host=host) for host in "ab" for number in "01"]
    queue = Queue([Turn(cells[0], need(1, 9)), Turn(cells[1], need(1, 8)),
                   Turn(cells[2], need(1, 7, devices=2)), Turn(cells[3], need(1, 6))],
                  [cards[0], cards[2], cards[1]])  # fmt: skip
    first = started(queue)
    assert paths(first) == [(cells[0].path, "a0"), (cells[1].path, "a1"), (cells[3].path, "b0")]
    queue.ended(first[0])
    queue.put_back(Turn(cells[4], need(1, 5)))
    assert started(queue) == [], "a0 is kept until a1 is free, too"
    queue.ended(first[1])
    assert paths(started(queue)) == [(cells[2].path, "a0+a1")]


def test_attempts_wait_for_their_time_and_may_ask_to_be_alone(cells: list[Cell]) -> None:
    queue = Queue(map(Turn, cells[:2], [need(1, 9), need(1, 1)]), [replace(SMALL, places=2)])
    long, short = started(queue)
    queue.ended(long)
    queue.put_back(long.turn.again("signal SIGKILL", not_before=5.0, alone=True))
    assert queue.next(1.0) is None
    assert queue.wakes(1.0) == 4.0
    assert queue.next(5.0) is None, "the other one is there"
    queue.ended(short)
    again = queue.next(5.0)
    assert again is not None
    assert (again.turn.attempts, again.shares) == (("signal SIGKILL",), False)
    assert queue.wakes(5.0) is None


def test_devices_join_and_leave(cells: list[Cell]) -> None:
    queue = Queue(map(Turn, cells[:3], [need(1)] * 3), [SMALL])
    [there] = started(queue)
    queue.join(LARGE)
    [other] = started(queue)
    assert queue.leave("0") == [there]
    queue.ended(there)
    assert queue.next(0.0) is None
    queue.ended(other)
    assert paths(started(queue)) == [(cells[2].path, "1")]
    assert queue.leave("1")
    assert queue.unfit(need(1)) == "there is no device"
