"""The Ray engine: the same cells, processes and records, on the nodes of a Ray cluster.

Which cell goes where is decided here, by the queue that the local engine has, too; Ray is asked for
a node and a share of its devices. What is lost with a worker, a node or the whole cluster runs
again: all that a run needs to go on lies in its folder.
"""

from __future__ import annotations

import queue
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from harness import durable
from harness.engines.attempts import after_loss, another, crashed, first, refuse
from harness.engines.base import End, Event, conclude
from harness.engines.child import Limits
from harness.engines.needs import Need
from harness.engines.placing import Device, Placed, Queue, Turn
from harness.engines.ray_cluster import Cluster, Fleet, Gone
from harness.engines.ray_nodes import shares_of
from harness.engines.ray_orders import Common, task_of
from harness.engines.ray_sent import Sent, sent
from harness.engines.ray_task import MARK
from harness.errors import UserError
from harness.store import Store
from harness.suite.cell import Cell

if TYPE_CHECKING:
    from harness.provenance import Invocation
    from harness.record import ExportKind, Record

CONNECTS = 5  # attempts in a row, without a cell that ended in between
LONGEST = 60.0  # seconds between two of them
VACANCY = 600.0  # seconds that cells wait for a node with room for them, while nothing runs
WAKE = 0.5  # seconds at most until Ctrl-C is heard


class RayEngine:
    """Runs cells on a Ray cluster, which it joins or starts when it is entered.

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
        self.store, self.export = store, export
        self.invocation, self.limits = invocation, limits or Limits()
        mark = secrets.token_hex(8)
        self._common = Common(store, mark, checkpoint_seconds, export, self.invocation, self.limits)
        self._fleet = Fleet(cluster, store.folder.absolute(), mark)
        self._queue = Queue([], [])
        self._sent: dict[int, Sent] = {}
        self._numbers = 0
        self._busy = time.monotonic()  # when anything was last under way
        self._listen: Callable[[Event], None] = lambda event: None

    def __enter__(self) -> RayEngine:
        """Join or start the cluster.

        Raises:
            UserError: it cannot be reached, or none of its nodes will do.
        """
        durable.write_text(self.store.folder / MARK, self._common.mark)
        try:
            self._join()
        except BaseException:
            self.__exit__()
            raise
        for why in self._fleet.left_out:
            print(f"left out: {why}", file=sys.stderr)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the cluster, or end that of this box."""
        self._fleet.leave()
        with suppress(FileNotFoundError):
            (self.store.folder / MARK).unlink()

    @property
    def devices(self) -> Sequence[Device]:
        """The devices of the nodes that may be used."""
        return [*self._queue.devices.values()]

    def run(
        self, cells: Sequence[Cell], listen: Callable[[Event], None], needs: Sequence[Need] = ()
    ) -> None:
        """Run all cells; `listen` is called in this thread. On Ctrl-C they are ended first.

        `needs` are the cells'; without them they run in their order, each alone on its device.

        Raises:
            UserError: the cluster was lost again and again.
        """
        self._listen = listen
        wanted = needs or [Need()] * len(cells)
        turns = (first(self.store, *each, self.limits) for each in zip(cells, wanted, strict=True))
        self._queue = Queue(turns, self.devices)
        self._refuse()
        vain, self._busy = 0, time.monotonic()
        try:
            while len(self._queue) or self._sent:
                try:
                    vain = 0 if self._serve() else vain
                except Gone as gone:
                    vain += 1
                    if vain > CONNECTS:
                        raise UserError(f"{CONNECTS} times in a row: {gone}") from None
                    self._join(gone)
        except KeyboardInterrupt:
            self._queue.drain()
            self._end_all()
            raise

    def _serve(self) -> bool:
        """Start what finds room, and hear what there is; tells whether a cell has ended.

        Raises:
            Gone: the cluster, or the connection to it.
        """
        now = time.monotonic()
        while (placed := self._queue.next(now)) is not None:
            self._send(placed)
        later = self._queue.wakes(now)
        if self._sent or later is not None:
            self._busy = now
        elif now - self._busy > VACANCY:  # its node has left, and does not come back
            self._refuse()
        try:
            news = self._fleet.hear(WAKE if later is None else min(WAKE, later))
        except queue.Empty:
            return False
        if "cell" in news:
            return self._hear(news["cell"], news)
        self._look_around()
        return False

    def _send(self, placed: Placed) -> None:
        node = self._fleet.nodes[placed.devices[0].host]
        cpus, gpus = shares_of(placed, node)
        self._numbers += 1
        self._sent[self._numbers] = sent(placed, self.store)
        task = task_of(placed, self._common)
        self._fleet.send(
            {"start": self._numbers, "node": node.name, "cpus": cpus, "gpus": gpus, "task": task}
        )

    def _hear(self, number: int, news: dict[str, Any]) -> bool:
        """Take up what is said of a cell; tells whether it has ended."""
        there = self._sent.get(number)
        if there is None:
            return False
        turn = there.turn
        if not there.heard:
            there.heard = True
            self._listen(Event(turn.cell, progress={"doing": "starting"}))
        if "progress" in news:
            self._listen(Event(turn.cell, progress=news["progress"]))
        elif "end" in news:
            self._ended(number, news)
        elif "failed" in news:
            record = crashed(self.store, turn, news["failed"], self.invocation)
            self._conclude(number, record)
        elif "over" in news:
            self._lost(number, news.get("lost", "its task was cancelled"))
        return "end" in news or "failed" in news

    def _ended(self, number: int, news: dict[str, Any]) -> None:
        """Conclude a cell whose process has ended, or have it run again."""
        placed, end = self._sent[number].placed, End(**news["end"])
        cell = placed.turn.cell
        files = {"record": self.store.record_file(cell), "log": self.store.log_file(cell)}
        for name in files.keys() & news.keys():  # of a node that does not see the run folder
            durable.write_text(files[name], news[name])
        record = conclude(self.store, cell, end, self.invocation, placed.turn.attempts)
        again = another(placed, record, end, self.limits, time.monotonic())
        self._conclude(number, record, again)

    def _lost(self, number: int, why: str) -> None:
        """Have a cell run again that was lost, unless its record is there already."""
        turn = self._sent[number].turn
        record = self._sent[number].written(self.store)
        if record is not None:
            self._conclude(number, record)
            return
        again = after_loss(turn, why, self.limits, time.monotonic())
        ended = crashed(self.store, turn, why, self.invocation, write=again is None)
        self._conclude(number, ended, again)

    def _conclude(self, number: int, record: Record, again: Turn | None = None) -> None:
        """Give a cell's devices back, and tell of its end or of the attempt that follows."""
        placed = self._sent.pop(number).placed
        self._queue.ended(placed)
        if again is None:
            self._listen(Event(placed.turn.cell, record=record))
        else:
            self._queue.put_back(again)
            self._listen(Event(placed.turn.cell, put_off=again.attempts[-1]))

    def _end_all(self) -> None:
        """Ask all cells to write a checkpoint and end, and conclude those that do in time."""
        for number in self._sent:
            self._fleet.send({"cancel": number})
        until = time.monotonic() + self.limits.grace + 2 * WAKE
        with suppress(Gone, queue.Empty):
            while self._sent:
                news = self._fleet.hear(max(0.0, until - time.monotonic()))
                if news.get("over") and news["cell"] in self._sent:
                    self._interrupted(news["cell"])
        for number in [*self._sent]:
            self._interrupted(number)

    def _interrupted(self, number: int) -> None:
        turn, end = self._sent[number].turn, End(code=1, seconds=0.0, stopping=True)
        record = self._sent[number].written(self.store) or conclude(
            self.store, turn.cell, end, self.invocation, turn.attempts
        )
        self._conclude(number, record)

    def _join(self, ended: Gone | None = None) -> None:
        """Join or start the cluster, once more after it `ended`: what ran there is lost.

        Raises:
            UserError: time and again it ended, or, at first, it was not there or had no node that
                will do.
        """
        self._fleet.leave()
        for number in [*self._sent]:
            self._lost(number, str(ended))
        for attempt in range(CONNECTS):
            try:
                self._take_over(self._fleet.connect())
                return
            except (Gone, UserError) as error:
                self._fleet.leave()
                if ended is None and (isinstance(error, UserError) or error.never):
                    raise UserError(str(error)) from None
                why = error
            time.sleep(min(self.limits.back_off * 2**attempt, LONGEST))
        raise UserError(f"{CONNECTS} times in a row: {why}")

    def _look_around(self) -> None:
        """Take up which nodes have come and left; where none is, cells wait for one to come."""
        try:
            self._take_over(self._fleet.devices())
        except UserError:
            self._take_over([])

    def _refuse(self) -> None:
        """Say of the cells that no device has room for that they are not sent."""
        for turn, why in self._queue.refused():
            record = refuse(self.store, turn, why, self.invocation)
            self._listen(Event(turn.cell, record=record))

    def _take_over(self, devices: Sequence[Device]) -> None:
        """Have the queue's devices be these."""
        for name in self._queue.devices.keys() - {device.name for device in devices}:
            self._queue.leave(name)
        for device in devices:
            if device.name not in self._queue.devices:
                self._queue.join(device)
