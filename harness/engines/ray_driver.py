"""Ray's driver, in a process of its own: it takes orders as JSON lines and answers with news.

Ray ends its driver when the cluster's head is gone, and prints to standard output what its nodes
say; the run outlives the one and shows nothing of the other. When the run is gone, standard input
closes, and this process ends what it has started.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import psutil
import ray
from ray.exceptions import LocalRayletDiedError, RayError, RayTaskError, TaskCancelledError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.engines import ray_local, ray_task

LOOK = 2.0  # seconds between two looks at the cluster's nodes
WAIT = 0.1  # seconds that the driver waits for news before it takes orders again
OBJECTS = 80 * 2**20  # bytes of Ray's object store: it holds lines of JSON
KNOCK = 10.0  # seconds that a cluster's head may take to answer
SHUTDOWN = 10.0  # seconds that leaving a cluster may take
PROCESSES = ("gcs_server", "raylet")  # without which there is no cluster


class Gone(Exception):
    """The cluster is not there any more."""


class Driver:
    """One connection to a cluster.

    Args:
        asked: `address` of the cluster, or `home`, `gpus` and `jobs` on each of one on this box
            alone; the run's `folder` and `mark`.
        answers: where news go.
    """

    def __init__(self, asked: dict[str, Any], answers: BinaryIO) -> None:
        self._asked, self._answers = asked, answers
        self._cells: dict[Any, str] = {}  # streams of news -> the cell's number
        self._probes: dict[Any, str] = {}  # answers of nodes -> their id
        self._alive: dict[str, dict[str, Any]] = {}
        self._looked = 0.0

    def connect(self) -> None:
        """Join the cluster, or start one."""
        common = {"log_to_driver": False, "logging_level": "error", "configure_logging": True}
        if self._asked["address"]:
            _knock(self._asked["address"])
            ray.init(address=self._asked["address"], **common)
        else:
            gpus = self._asked["gpus"]
            places = self._asked["jobs"] * max(1, len(gpus))
            ray.init(
                address="local",
                num_cpus=places,
                num_gpus=len(gpus),
                include_dashboard=False,
                object_store_memory=OBJECTS,
                _temp_dir=self._asked["home"],
                **common,
            )
        self._run_here = ray.remote(max_retries=0, max_calls=0)(ray_task.run_here)
        self._about = ray.remote(max_retries=2, max_calls=0)(ray_task.about_this_node)

    def serve(self, orders: queue.SimpleQueue[dict[str, Any] | None]) -> None:
        """Obey until there are no more orders.

        Raises:
            Gone: the cluster is.
        """
        while True:
            for order in _waiting(orders, 0.0 if self._cells or self._probes else WAIT):
                if order is None:
                    return
                self._obey(order)
            self._look_around()
            there = [*self._cells, *self._probes]
            ready = ray.wait(there, num_returns=1, timeout=WAIT)[0] if there else []
            for one in ready:
                if one in self._probes:
                    self._hear_node(one)
                else:
                    self._hear_cell(one)

    def _obey(self, order: dict[str, Any]) -> None:
        if "cancel" in order:
            for stream in [s for s, number in self._cells.items() if number == order["cancel"]]:
                ray.cancel(stream)
            return
        task = self._run_here.options(
            num_returns="streaming", num_cpus=order["cpus"], num_gpus=order["gpus"],
            scheduling_strategy=NodeAffinitySchedulingStrategy(order["node"], soft=False),
        )  # fmt: skip
        self._cells[task.remote(order["task"])] = order["start"]

    def _hear_cell(self, stream: Any) -> None:
        number = self._cells[stream]
        try:
            news = ray.get(next(stream))
        except StopIteration:
            news = {"over": True}
        except TaskCancelledError:
            news = {"over": True, "cancelled": True}
        except LocalRayletDiedError as error:
            raise Gone(_in_words(error)) from None
        except RayTaskError as error:  # the node has no such code, say
            news = {"over": True, "failed": _in_words(error)}
        except RayError as error:  # of the cluster, not of the cell
            news = {"over": True, "lost": _in_words(error)}
        if "over" in news:
            del self._cells[stream]
        self.tell({"cell": number, **news})

    def _look_around(self) -> None:
        """Tell of nodes that have come, once they have said what they have, and that have left."""
        if time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        self._check()
        alive = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        if alive.keys() != self._alive.keys():
            self.tell({"nodes": sorted(alive)})
        for name in alive.keys() - self._alive.keys():
            here = NodeAffinitySchedulingStrategy(name, soft=False)
            probe = self._about.options(num_cpus=0, scheduling_strategy=here)
            self._probes[probe.remote(self._asked["folder"], self._asked["mark"])] = name
        self._alive = alive

    def _hear_node(self, answer: Any) -> None:
        name = self._probes.pop(answer)
        node = self._alive.get(name)
        if node is None:
            return
        told = {"labels": node["Labels"], "resources": node["Resources"], "node": name}
        try:
            self.tell({**told, "about": ray.get(answer)})
        except RayTaskError as error:
            self.tell({**told, "failed": _in_words(error)})
        except RayError:
            self._alive.pop(name, None)  # it is asked again

    def _check(self) -> None:
        """Look whether the processes of this box's own cluster are there.

        Raises:
            Gone: one of them is not.
        """
        if self._asked["address"]:
            return
        missing = [name for name in PROCESSES if name not in _names_of_children()]
        if missing:
            raise Gone(f"{missing[0]} has ended")

    def tell(self, news: dict[str, Any]) -> None:
        """Give news to the run."""
        self._answers.write(json.dumps(news).encode() + b"\n")
        self._answers.flush()


def main() -> int:
    """Serve the run at the other end of standard input until it is done, or gone."""
    asked = json.loads(sys.stdin.buffer.readline())
    orders: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_take, args=(orders, asked["home"]), daemon=True).start()
    with os.fdopen(asked["answers"], "wb") as answers:
        driver = Driver(asked, answers)
        try:
            driver.connect()
            driver.serve(orders)
        except Exception as error:  # Ray's are of many types
            traceback.print_exc()
            never = asked["address"] is not None and not ray.is_initialized()
            driver.tell({"gone": _in_words(error), "never": never})
            return 1
    ray.shutdown()
    return 0


def _take(orders: queue.SimpleQueue[dict[str, Any] | None], home: str | None) -> None:
    """Hand over the orders; after them end this process, whatever it does."""
    for line in sys.stdin.buffer:
        orders.put(json.loads(line))
    if home is not None:
        ray_local.end(Path(home))
        os._exit(0)
    orders.put(None)
    time.sleep(SHUTDOWN)
    os._exit(1)


def _waiting(
    orders: queue.SimpleQueue[dict[str, Any] | None], patience: float
) -> Iterator[dict[str, Any] | None]:
    """Yield the orders that are there; the first may come within some seconds."""
    with suppress(queue.Empty):
        yield orders.get(timeout=patience) if patience else orders.get_nowait()
        while True:
            yield orders.get_nowait()


def _knock(address: str) -> None:
    """Look whether anything listens at an address: Ray would try for a minute, and then abort.

    Raises:
        ConnectionError: nothing does.
    """
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=KNOCK).close()
        except OSError as error:
            raise ConnectionError(f"no cluster answers at {address}: {error}") from None


def _names_of_children() -> set[str]:
    names = set()
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if child.status() != psutil.STATUS_ZOMBIE:
                names.add(child.name())
    return names


def _in_words(error: Exception) -> str:
    """Return the line of an error that says what it is; those of tasks end with it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[-1 if isinstance(error, RayTaskError) else 0] if lines else ""
    return said or type(error).__name__


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
