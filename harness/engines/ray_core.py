"""The Ray engine: the same cells, processes and records, on the nodes of a Ray cluster.

Which cell goes where is decided here, by the queue that the local engine has, too; Ray is asked for
a node and a share of its devices. What is lost with a worker, a node or the whole cluster runs
again: all that a run needs to go on lies in its folder.
"""

from __future__ import annotations

import os
import queue
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness import durable, plugins
from harness.cell import new_record
from harness.engines.attempts import first, halved
from harness.engines.base import End, Event, Order, conclude, worth_another
from harness.engines.child import Limits
from harness.engines.needs import Need
from harness.engines.placing import Device, Placed, Queue, Turn
from harness.engines.ray_fleet import Fleet
from harness.engines.ray_link import Cluster, Link
from harness.engines.ray_nodes import selectors_of, shares_of
from harness.engines.ray_task import MARK, software, variables
from harness.errors import UserError
from harness.store import Store
from harness.suite.cell import Cell

if TYPE_CHECKING:
    from harness.provenance import Invocation
    from harness.record import ExportKind, Record

NODES = 120.0  # seconds in which the nodes of a cluster say what they have
LOST = 5  # how often a cell is run again that was lost with its worker or node
CONNECTS = 5  # in a row without a cell that ended in between
WAIT = 0.5  # seconds until Ctrl-C or a cell that waits for its time is noticed
LOG = "ray.log"


class Gone(Exception):
    """Ray's driver, or the cluster, has ended."""


@dataclass
class _Running:
    """A cell that was given to Ray.

    Attributes:
        placed: it and its devices.
        before: of its record, when it was sent; another one afterwards is this attempt's.
        heard: anything of it, so that it runs.
    """

    placed: Placed
    before: tuple[int, int] | None
    heard: bool = False


class RayEngine:
    """Runs cells on a Ray cluster and yields what they report.

    Args:
        store: where records and logs go; nodes that do not see its folder send both.
        cluster: where, and on which of its nodes.
        checkpoint_seconds: training time between a cell's checkpoints.
        export: what every cell writes to deploy, if anything: where nodes see the folder.
        invocation: how the run was asked for, for the records.
        limits: how long a cell may take, and how often one that crashed is run again.
    """

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        checkpoint_seconds: float = 300.0,
        export: ExportKind | None = None,
        invocation: Invocation | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.store, self.cluster = store, cluster
        self.checkpoint_seconds, self.export = checkpoint_seconds, export
        self.invocation, self.limits = invocation, limits or Limits()
        self._selectors = selectors_of(cluster.labels)
        self._mark, self._software = secrets.token_hex(8), software()
        self._link: Link | None = None
        self._fleet = Fleet(self._selectors, cluster.jobs, self._software)
        self._queue = Queue([], [])
        self._running: dict[int, _Running] = {}
        self._started = 0
        self._lost: Counter[str] = Counter()
        self._listen: Callable[[Event], None] = lambda event: None

    def __enter__(self) -> RayEngine:
        """Join or start the cluster.

        Raises:
            UserError: it cannot be reached, or none of its nodes will do.
        """
        durable.write_text(self.store.folder / MARK, self._mark)
        try:
            self._connect()
        except BaseException as error:
            self.__exit__()
            if isinstance(error, Gone):
                raise UserError(str(error)) from None
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster, or end that of this box."""
        if self._link is not None:
            self._link.close()
            self._link = None
        with suppress(FileNotFoundError):
            (self.store.folder / MARK).unlink()

    @property
    def devices(self) -> list[Device]:
        """The devices of the nodes that may be used."""
        return [*self._queue.devices.values()]

    def run(
        self, cells: Sequence[Cell], listen: Callable[[Event], None], needs: Sequence[Need] = ()
    ) -> None:
        """Run all cells; `listen` is called in this thread. On Ctrl-C they are ended first.

        Raises:
            UserError: the cluster was lost again and again.
        """
        self._listen = listen
        wanted = needs or [Need()] * len(cells)
        for cell, need in zip(cells, wanted, strict=True):
            self._queue.put_back(first(self.store, cell, need, self.limits))
        try:
            self._until_done()
        except KeyboardInterrupt:
            self._queue.drain()
            self._end_all()
            raise

    def _until_done(self) -> None:
        """Work on; a cluster that is lost is joined or started again."""
        vain = 0
        while len(self._queue) or self._running:
            try:
                if self._link is None:
                    self._connect()
                vain = 0 if self._serve() else vain
            except (Gone, UserError) as gone:
                vain += 1
                self._all_lost(str(gone))
                if vain >= CONNECTS:
                    raise UserError(f"{vain} times in a row: {gone}") from None
                time.sleep(min(self.limits.back_off * 2 ** (vain - 1), 60))

    def _serve(self) -> bool:
        """Start what has room and hear what there is; tells whether a cell has ended."""
        for turn, why in self._queue.refused():
            self._unfit(turn, why)
        while (placed := self._queue.next(time.monotonic())) is not None:
            self._start(placed)
        if not self._running and not len(self._queue):
            return True
        wakes = self._queue.wakes(time.monotonic())
        try:
            news = self._of_link(WAIT if wakes is None else min(WAIT, wakes))
        except queue.Empty:
            return False
        return self._hear(news)

    def _of_link(self, patience: float) -> dict[str, Any]:
        """Return what the driver says next.

        Raises:
            Gone: that it is, or the cluster.
            queue.Empty: nothing, for so long.
        """
        assert self._link is not None
        news = self._link.news.get(timeout=max(0.0, patience))
        if news is None or "gone" in news:
            why = "it was killed" if news is None else news["gone"]
            raise Gone(f"Ray's driver ended: {why} (see {self.store.folder / 'logs' / LOG})")
        return news

    def _hear(self, news: dict[str, Any]) -> bool:
        """Take up what the driver says; tells whether a cell has ended."""
        if "cell" not in news:
            self._hear_of_nodes(news)
            return False
        running = self._running.get(news["cell"])
        if running is None:
            return False
        turn = running.placed.turn
        if not running.heard:
            running.heard = True
            self._listen(Event(turn.cell, progress={"doing": "starting"}))
        if "progress" in news:
            self._listen(Event(turn.cell, progress=news["progress"]))
        if "end" in news:
            self._ended(news["cell"], End(**news["end"]), news)
        elif "failed" in news:
            self._finish(news["cell"], new_record(turn.cell, "crashed", message=news["failed"]))
        elif "over" in news:
            self._over(news["cell"], news.get("lost"))
        return "end" in news or "failed" in news

    # What becomes of cells

    def _start(self, placed: Placed) -> None:
        assert self._link is not None
        turn, node = placed.turn, self._fleet.nodes[placed.devices[0].host]
        cpus, gpus = shares_of(placed, node)
        self._started += 1
        self._running[self._started] = _Running(placed, self._state_of(turn.cell))
        self._link.send({
            "start": self._started, "node": node.name, "cpus": cpus, "gpus": gpus,
            "task": self._task(turn),
        })  # fmt: skip

    def _task(self, turn: Turn) -> dict[str, Any]:
        order = Order(
            cell=turn.cell.model_dump(mode="json"),
            plugins=plugins.loaded(),
            folder=self.store.folder.absolute(),
            lock=-1,  # of the worker's own
            checkpoint_seconds=self.checkpoint_seconds,
            export=self.export,
            invocation=self.invocation,
            attempts=list(turn.attempts),
            batches=turn.batches,
        )
        return {
            "order": order.model_dump(mode="json", exclude={"lock", "progress"}),
            "record": str(self.store.record_file(turn.cell).relative_to(self.store.folder)),
            "log": str(self.store.log_file(turn.cell).relative_to(self.store.folder)),
            "mark": self._mark,
            "limits": asdict(self.limits),
            "environment": {"TOKENIZERS_PARALLELISM": "false", **variables()},
            "at": os.getcwd(),
        }

    def _ended(self, number: int, end: End, news: dict[str, Any]) -> None:
        """Conclude a cell whose process has ended, or have it run again."""
        turn = self._running[number].placed.turn
        for name, file in (
            ("record", self.store.record_file(turn.cell)), ("log", self.store.log_file(turn.cell)),
        ):  # fmt: skip
            if name in news:
                durable.write_text(file, news[name])
        record = conclude(self.store, turn.cell, end, self.invocation, turn.attempts)
        crashes = len(turn.attempts) - self._lost[turn.cell.path] - turn.halvings
        if smaller := halved(turn, record, end, self.limits):
            self._put_back(number, smaller)
        elif worth_another(record, end) and crashes < self.limits.retries:
            wait = self.limits.back_off * 2**crashes
            self._again(number, (record.message or record.outcome).splitlines()[0], wait)
        else:
            self._finish(number, record)

    def _over(self, number: int, lost: str | None) -> None:
        """Have a cell run again that was lost, unless its record is there already."""
        running = self._running[number]
        turn = running.placed.turn
        record = self.store.read(turn.cell)
        if record and record.is_final and self._state_of(turn.cell) != running.before:
            self._finish(number, record)
            return
        self._lost[turn.cell.path] += 1
        told = f"lost: {lost or 'its task was cancelled'}"
        if self._lost[turn.cell.path] > LOST:
            ended = new_record(turn.cell, "crashed", message=told)
            ended.invocation, ended.attempts = self.invocation, list(turn.attempts)
            if record is None or not record.is_final:
                self.store.write(turn.cell, ended)
            self._finish(number, ended)
        else:
            self._again(number, told, self.limits.back_off * 2 ** (self._lost[turn.cell.path] - 1))

    def _again(self, number: int, ended: str, wait: float) -> None:
        turn = self._running[number].placed.turn
        self._put_back(number, turn.again(ended, time.monotonic() + wait))

    def _put_back(self, number: int, turn: Turn) -> None:
        self._queue.ended(self._running.pop(number).placed)
        self._queue.put_back(turn)
        self._listen(Event(turn.cell, put_off=turn.attempts[-1]))

    def _finish(self, number: int, record: Record) -> None:
        placed = self._running.pop(number).placed
        self._queue.ended(placed)
        self._listen(Event(placed.turn.cell, record=record))

    def _unfit(self, turn: Turn, why: str) -> None:
        """Say of a cell that it is sent nowhere."""
        self._listen(Event(turn.cell, record=new_record(turn.cell, "crashed", message=why)))

    def _all_lost(self, why: str) -> None:
        """Have all that ran run again; the processes are ended first."""
        if self._link is not None:
            self._link.close()
            self._link = None
        for number in [*self._running]:
            self._over(number, why)

    def _end_all(self) -> None:
        """Ask all cells to write a checkpoint and end, and conclude those that do."""
        for number in self._running:
            assert self._link is not None
            self._link.send({"cancel": number})
        until = time.monotonic() + self.limits.grace + 2 * WAIT
        with suppress(Gone, queue.Empty):
            while self._running and time.monotonic() < until:
                news = self._of_link(until - time.monotonic())
                if "cell" in news and "over" in news:
                    self._interrupted(news["cell"])
        for number in [*self._running]:
            self._interrupted(number)

    def _interrupted(self, number: int) -> None:
        running = self._running.get(number)
        if running is None:
            return
        cell = running.placed.turn.cell
        done = self._state_of(cell) != running.before and self.store.is_done(cell)
        end = End(0 if done else 1, 0.0, stopping=True)
        attempts = running.placed.turn.attempts
        self._finish(number, conclude(self.store, cell, end, self.invocation, attempts))

    def _state_of(self, cell: Cell) -> tuple[int, int] | None:
        """Return what tells one writing of a cell's record from the next."""
        try:
            found = self.store.record_file(cell).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    # The cluster

    def _connect(self) -> None:
        """Start the driver, and hear of the nodes that the cluster has now.

        Raises:
            Gone: there is no such cluster, or it ended.
            UserError: none of its nodes will do.
        """
        log = self.store.folder / "logs" / LOG
        self._link = Link(self.cluster, self.store.folder.absolute(), self._mark, log)
        self._fleet = Fleet(self._selectors, self.cluster.jobs, self._software)
        until = time.monotonic() + NODES
        while not self._fleet.is_known and time.monotonic() < until:
            with suppress(queue.Empty):
                self._fleet.hear(self._of_link(WAIT))
        self._take_over(self._fleet.devices())

    def _take_over(self, devices: Sequence[Device]) -> None:
        """Have the queue's devices be these."""
        there = {device.name for device in devices}
        for name in self._queue.devices.keys() - there:
            self._queue.leave(name)
        for device in devices:
            if device.name not in self._queue.devices:
                self._queue.join(device)

    def _hear_of_nodes(self, news: dict[str, Any]) -> None:
        self._fleet.hear(news)
        with suppress(UserError):  # none is left: cells wait until some are there again
            self._take_over(self._fleet.devices())
