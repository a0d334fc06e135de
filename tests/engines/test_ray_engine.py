"""What the Ray engine makes of what a cluster tells it, with a cluster that is not there."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from records import eight_cells, record

from harness import run_files
from harness.engines import attempts, ray_core, ray_task
from harness.engines.base import Event, Order
from harness.engines.child import Limits
from harness.engines.needs import Need
from harness.engines.placing import Device
from harness.engines.ray_cluster import Cluster, Gone
from harness.engines.ray_core import RayEngine
from harness.engines.ray_nodes import Node
from harness.engines.ray_task import MARK, run_here
from harness.errors import UserError
from harness.store import Store
from harness.suite.cell import Cell
from harness.units import GIB

ENDED = {"code": 0, "seconds": 1.0}
Answer = Callable[[dict[str, Any]], list[dict[str, Any]]]


class Played:
    """A cluster of one node with room for two cells, whose answers are given by a test."""

    def __init__(self) -> None:
        self.nodes = {"n": Node("n", "box", cpus=2.0, memory=8 * GIB)}
        self.left_out = ["box-b has torch 2.11.0, here it is 2.13.0"]
        self.sent: list[dict[str, Any]] = []
        self.connected = self.left = 0
        self.news: list[dict[str, Any]] = []
        self.answer: Answer = lambda order: []

    def connect(self) -> list[Device]:
        self.connected += 1
        return self.devices()

    def devices(self) -> list[Device]:
        if not self.nodes:
            raise UserError("no node of the cluster has said what it has")
        return [Device("n", "cpu", 8 * GIB, "n", places=2)]

    def send(self, order: dict[str, Any]) -> None:
        self.sent.append(order)
        self.news += self.answer(order)

    def hear(self, patience: float) -> dict[str, Any]:
        if not self.news:
            raise queue.Empty
        news = self.news.pop(0)
        if "gone" in news:
            raise Gone(news["gone"])
        return news

    def leave(self) -> None:
        self.left += 1


@pytest.fixture
def cells(tmp_path: Path) -> list[Cell]:
    return eight_cells(tmp_path)[:2]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RayEngine]:
    monkeypatch.setattr(ray_core, "Fleet", lambda *_: Played())
    limits = Limits(back_off=0.001, grace=0.1)
    with RayEngine(Store(tmp_path / "out"), Cluster(), limits=limits) as found:
        yield found


def played(engine: RayEngine) -> Played:
    assert isinstance(engine._fleet, Played)
    return engine._fleet


def ends(engine: RayEngine, cells: list[Cell], *needs: Need) -> list[Event]:
    """Run the cells; returns what was not progress."""
    events: list[Event] = []
    engine.run(cells, events.append, needs)
    return [event for event in events if event.progress is None]


def finishes(engine: RayEngine, cells: list[Cell]) -> Answer:
    """Return what has a cell write its record as it is sent."""

    def answer(order: dict[str, Any]) -> list[dict[str, Any]]:
        cell = Cell.model_validate(order["task"]["order"]["cell"])
        told = order["task"]["order"]["attempts"]
        engine.store.write(cell, record(cell, 0.5, attempts=told))
        return [{"cell": order["start"], "end": ENDED}, {"cell": order["start"], "over": True}]

    return answer


def test_cells_are_sent_to_nodes_and_their_records_are_told(
    engine: RayEngine, cells: list[Cell]
) -> None:
    fleet = played(engine)
    fleet.answer = finishes(engine, cells)
    memory = (("cpu", GIB),)
    found = ends(engine, cells, Need(1, memory, 1.0), Need(1, memory, 2.0))
    assert [event.cell for event in found] == [cells[1], cells[0]], "the longest first"
    assert all(event.record and event.record.outcome == "ok" for event in found)
    first = fleet.sent[0]
    assert (first["node"], first["cpus"], first["gpus"]) == ("n", 1.0, 0.0)
    assert first["task"]["order"]["beside"] == 1
    assert first["task"]["mark"] == (engine.store.folder / MARK).read_text()


def test_a_cell_that_is_lost_runs_again_and_that_is_no_crash_of_its_own(
    engine: RayEngine, cells: list[Cell]
) -> None:
    fleet, done = played(engine), finishes(engine, cells)
    crash = {"code": 1, "seconds": 1.0}
    script = [
        lambda n: [{"cell": n, "over": True, "lost": "its worker died"}],
        lambda n: [{"gone": "raylet has ended"}],
        lambda n: [{"cell": n, "end": crash}, {"cell": n, "over": True}],
    ]
    fleet.answer = lambda order: script.pop(0)(order["start"]) if script else done(order)
    found = ends(engine, cells[:1])
    assert [event.put_off for event in found[:-1]] == [
        "lost: its worker died", "lost: raylet has ended", "exit code 1",
    ]  # fmt: skip
    last = found[-1].record
    assert last is not None
    assert (last.outcome, len(last.attempts)) == ("ok", 3)
    assert fleet.connected == 2


def test_a_cell_that_is_always_lost_ends_as_crashed(engine: RayEngine, cells: list[Cell]) -> None:
    fleet = played(engine)
    fleet.answer = lambda order: [{"cell": order["start"], "over": True, "lost": "killed"}]
    found = ends(engine, cells[:1])
    assert len(found) == attempts.LOSSES + 1
    kept = engine.store.read(cells[0])
    assert kept is not None
    assert (kept.outcome, kept.message) == ("crashed", "killed")
    assert kept.attempts == ["lost: killed"] * attempts.LOSSES


def test_a_record_that_was_written_before_the_loss_counts(
    engine: RayEngine, cells: list[Cell]
) -> None:
    fleet = played(engine)

    def lost_late(order: dict[str, Any]) -> list[dict[str, Any]]:
        engine.store.write(cells[0], record(cells[0], 0.5))
        return [{"cell": order["start"], "over": True, "lost": "its worker died"}]

    fleet.answer = lost_late
    [event] = ends(engine, cells[:1])
    assert event.record is not None
    assert event.record.outcome == "ok"


def test_an_earlier_result_is_not_taken_for_the_lost_attempt_s(
    engine: RayEngine, cells: list[Cell]
) -> None:
    """As under --force."""
    engine.store.write(cells[0], record(cells[0], 0.25))
    fleet, done = played(engine), finishes(engine, cells)
    losses = [[{"cell": 1, "over": True, "lost": "its worker died"}]]
    fleet.answer = lambda order: losses.pop() if losses else done(order)
    put_off, last = ends(engine, cells[:1])
    assert put_off.put_off == "lost: its worker died"
    assert last.record is not None
    assert last.record.main_score == 0.5


def test_a_cluster_that_ends_time_and_again_ends_the_run(
    engine: RayEngine, cells: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "LOSSES", 99)
    played(engine).answer = lambda order: [{"gone": "raylet has ended"}]
    with pytest.raises(UserError, match="5 times in a row: raylet has ended"):
        ends(engine, cells[:1])


def test_ctrl_c_asks_cells_to_end_and_waits(engine: RayEngine, cells: list[Cell]) -> None:
    fleet, events = played(engine), []

    def answer(order: dict[str, Any]) -> list[dict[str, Any]]:
        if "cancel" in order:
            return [{"cell": order["cancel"], "over": True}]
        return [{"cell": order["start"], "progress": {"doing": "training"}}]

    def listen(event: Event) -> None:
        events.append(event)
        if event.progress == {"doing": "training"}:
            raise KeyboardInterrupt

    fleet.answer = answer
    with pytest.raises(KeyboardInterrupt):
        engine.run(cells[:1], listen)
    assert fleet.sent[-1] == {"cancel": 1}
    assert events[-1].record is not None
    assert events[-1].record.outcome == "interrupted"


def test_cells_whose_node_has_left_wait_and_are_refused_in_the_end(
    engine: RayEngine, cells: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = played(engine)
    monkeypatch.setattr(ray_core, "VACANCY", 0.0)

    def leaves(order: dict[str, Any]) -> list[dict[str, Any]]:
        fleet.nodes = {}
        return [{"nodes": []}, {"cell": order["start"], "over": True, "lost": "its node died"}]

    fleet.answer = leaves
    *_, last = ends(engine, cells[:1])
    assert last.record is not None
    assert (last.record.outcome, last.record.message) == ("unfit", "there is no device")


class Away:
    """A cell's process on a node: it writes a record and a log into the folder that it is told."""

    held = 0

    def __init__(self, order: Order, log: Path, environment: Mapping[str, str]) -> None:
        self.order, self.log, self.environment = order, log, environment

    def attend(self, limits: Limits, stopping: threading.Event, hear: Any) -> tuple[int, None]:
        cell = Cell.model_validate(self.order.cell)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_text(f"threads {self.environment.get('OMP_NUM_THREADS')}")
        hear({"doing": "training"})
        Store(self.order.folder).write(cell, record(cell, 0.5))
        return 0, None


@pytest.mark.parametrize("sees", [True, False])
def test_a_node_without_the_run_folder_sends_record_and_log(
    engine: RayEngine, cells: list[Cell], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    sees: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(ray_task, "Child", Away)
    monkeypatch.setattr(ray_task, "_end_with_parent", lambda: None)
    monkeypatch.setattr(ray_task.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = len(ray_task.os.sched_getaffinity(0))

    def on_the_node(order: dict[str, Any]) -> list[dict[str, Any]]:
        task = {**order["task"], "mark": order["task"]["mark"] if sees else "of another folder"}
        return [{"cell": order["start"], **told} for told in run_here(task)]

    played(engine).answer = on_the_node
    events: list[Event] = []
    engine.run(cells[:1], events.append, [Need(1, (("cpu", GIB),))])
    doing = [event.progress["doing"] for event in events if event.progress]
    assert doing == ["starting", "training"]
    assert events[-1].record is not None
    kept = run_files.read_record(engine.store.record_file(cells[0]), cells[0].path, cells[0].key)
    assert kept is not None
    assert kept.outcome == "ok"
    assert engine.store.log_file(cells[0]).read_text() == f"threads {max(1, cores // 2)}"
    left = [file for file in tmp_path.glob("headroom-*/**/*.json")]
    assert not left, "it keeps nothing but checkpoints"


def test_a_node_without_the_run_folder_refuses_to_export(
    engine: RayEngine, cells: list[Cell], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ray_task, "_end_with_parent", lambda: None)
    monkeypatch.setattr(ray_task.tempfile, "gettempdir", lambda: str(tmp_path))

    def on_the_node(order: dict[str, Any]) -> list[dict[str, Any]]:
        asked = {**order["task"]["order"], "export": "adapter"}
        task = {**order["task"], "mark": "of another folder", "order": asked}
        return [{"cell": order["start"], **told} for told in run_here(task)]

    played(engine).answer = on_the_node
    [event] = ends(engine, cells[:1])
    assert event.record is not None
    assert "does not see the run folder: no --export" in (event.record.message or "")
