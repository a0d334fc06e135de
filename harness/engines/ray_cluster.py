"""A run's cluster: its driver, its nodes as they tell of themselves, and the devices on them."""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.engines.placing import Device
from harness.engines.ray_link import Link
from harness.engines.ray_nodes import Node, Selector, chosen, devices_of, node_of, selectors_of
from harness.engines.ray_task import software
from harness.errors import UserError

PATIENCE = 120.0  # seconds in which a cluster's nodes say what they have
LOG = Path("logs", "ray.log")


class Gone(Exception):
    """The cluster, or the driver that was connected to it, has ended; `never`: it was not there."""

    def __init__(self, why: str, never: bool = False) -> None:
        super().__init__(why)
        self.never = never


@dataclass(frozen=True)
class Cluster:
    """Where a run's cells go.

    Attributes:
        address: of a cluster's head, or `auto`, as Ray has them; None: this box alone.
        labels: `key=value`, which nodes must have.
        jobs: cells at a time on a device.
        gpus: CUDA devices of this box, where it is the cluster; none: its CPU.
    """

    address: str | None = None
    labels: tuple[str, ...] = ()
    jobs: int = 1
    gpus: tuple[str, ...] = ()


class Census:
    """Which nodes there are, which have said what they have, and which will do.

    Args:
        selectors: labels that nodes must have.
        jobs: cells at a time on a device.
        software: versions that a node must have, by what they are of.
    """

    def __init__(self, selectors: list[Selector], jobs: int, software: Mapping[str, str]) -> None:
        self._selectors, self._jobs, self._software = selectors, jobs, software
        self._there: set[str] | None = None
        self.nodes: dict[str, Node] = {}
        self.left_out: dict[str, str] = {}  # by node: why it will not do

    def hear(self, news: Mapping[str, Any]) -> None:
        """Take up which nodes there are, or what one of them has said."""
        if "nodes" in news:
            self._there = set(news["nodes"])
            self.nodes = {n: node for n, node in self.nodes.items() if n in self._there}
            self.left_out = {n: why for n, why in self.left_out.items() if n in self._there}
        elif "failed" in news:
            self.left_out[news["node"]] = f"a node cannot run Headroom: {news['failed']}"
        elif other := self._other_software(news["about"]["software"]):
            self.left_out[news["node"]] = f"{news['about']['host']} has {other}"
        else:
            self.nodes[news["node"]] = node_of(news)

    @property
    def is_whole(self) -> bool:
        """Whether every node that is there has said what it has."""
        return self._there is not None and self._there <= self.nodes.keys() | self.left_out.keys()

    def devices(self) -> list[Device]:
        """Return the devices of the nodes that will do.

        Raises:
            UserError: there are none.
        """
        if not self.nodes:
            told = "; ".join(dict.fromkeys(self.left_out.values()))
            raise UserError(told or "the cluster has no node")
        found = devices_of(chosen([*self.nodes.values()], self._selectors), self._jobs)
        if not found:
            raise UserError("Ray gives neither CPUs nor GPUs of these nodes to tasks")
        return found

    def _other_software(self, theirs: Mapping[str, str]) -> str | None:
        """Say what a node has in another version than here: records would not compare."""
        for name, ours in self._software.items():
            if theirs.get(name) != ours:
                return f"{name} {theirs.get(name, 'missing')}, here it is {ours}"
        return None


class Fleet:
    """The connection to a cluster, as often as it is made, and what is known of its nodes.

    Args:
        cluster: that is joined or started.
        folder: of the run.
        mark: that tells a node whether it sees this folder.
    """

    def __init__(self, cluster: Cluster, folder: Path, mark: str) -> None:
        self._cluster, self._folder, self._mark = cluster, folder, mark
        self._selectors = selectors_of(cluster.labels)
        # On this box alone there is one installation, as for the local engine.
        self._software = software() if cluster.address else {}
        self._link: Link | None = None
        self._census = self._new_census()

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The nodes that will do, by Ray's names."""
        return self._census.nodes

    @property
    def left_out(self) -> list[str]:
        """Why other nodes will not."""
        return [*self._census.left_out.values()]

    def devices(self) -> list[Device]:
        """Return the devices of the nodes that will do.

        Raises:
            UserError: there are none.
        """
        return self._census.devices()

    def connect(self) -> list[Device]:
        """Join or start the cluster; returns the devices of the nodes that it has now.

        Raises:
            Gone: there is no such cluster, or it has ended.
            UserError: none of its nodes will do.
        """
        one = self._cluster
        asked = {
            "address": one.address, "jobs": one.jobs, "gpus": list(one.gpus),
            "folder": str(self._folder), "mark": self._mark,
        }  # fmt: skip
        self._census = self._new_census()
        self._link = Link(asked, self._folder / LOG)
        until = time.monotonic() + PATIENCE
        while not self._census.is_whole and time.monotonic() < until:
            with suppress(queue.Empty):
                self.hear(0.5)
        if not self._census.nodes and not self._census.left_out:
            raise Gone(f"Ray: no node has said within {PATIENCE:.0f} s what it has")
        return self._census.devices()

    def send(self, order: dict[str, Any]) -> None:
        """Give the driver an order; where it is gone, `hear` says so."""
        if self._link is not None:
            self._link.send(order)

    def hear(self, patience: float) -> dict[str, Any]:
        """Return what the driver says next; what it says of nodes is taken up.

        Raises:
            Gone: it has ended, or the cluster has.
            queue.Empty: it says nothing for so many seconds.
        """
        if self._link is None:
            raise Gone("there is no connection to the cluster")
        news = self._link.news.get(timeout=patience)
        if news is None or "gone" in news:
            told = news or {"gone": "its driver was killed"}
            raise Gone(f"Ray: {told['gone']}", told.get("never", False))
        if "cell" not in news:
            self._census.hear(news)
        return news

    def leave(self) -> None:
        """End the driver, and with it this run's tasks, or the cluster of this box."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _new_census(self) -> Census:
        return Census(self._selectors, self._cluster.jobs, self._software)
