"""The nodes of a cluster as its driver tells of them, and the devices on those that will do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.engines.placing import Device
from harness.engines.ray_nodes import Node, Selector, chosen, devices_of, node_of
from harness.errors import UserError


class Fleet:
    """What is known of a cluster's nodes.

    Args:
        selectors: labels that nodes must have.
        jobs: cells on a device at a time.
        software: versions that a node must have, by what they are of.
    """

    def __init__(
        self, selectors: Sequence[Selector], jobs: int, software: Mapping[str, str]
    ) -> None:
        self._selectors, self._jobs, self._software = selectors, jobs, software
        self._there: set[str] | None = None
        self.nodes: dict[str, Node] = {}
        self.left_out: dict[str, str] = {}  # names of nodes that will not do, and why

    def hear(self, news: Mapping[str, Any]) -> None:
        """Take up which nodes there are, or what one of them has said."""
        if "nodes" in news:
            self._there = set(news["nodes"])
            for known in (self.nodes, self.left_out):
                for name in known.keys() - self._there:
                    del known[name]
        elif "failed" in news:
            self.left_out[news["node"]] = f"a node cannot run Headroom: {news['failed']}"
        elif other := self._other_software(news["about"]["software"]):
            self.left_out[news["node"]] = f"{news['about']['host']} has {other}"
        else:
            self.nodes[news["node"]] = node_of(news)

    @property
    def is_known(self) -> bool:
        """Whether every node that is there has said what it has."""
        return self._there is not None and self._there <= self.nodes.keys() | self.left_out.keys()

    def devices(self) -> list[Device]:
        """Return the devices of the nodes that will do.

        Raises:
            UserError: there are none.
        """
        if not self.nodes and self.left_out:
            raise UserError("; ".join(dict.fromkeys(self.left_out.values())))
        if not self.nodes:
            raise UserError("no node of the cluster has answered")
        found = devices_of(chosen([*self.nodes.values()], self._selectors), self._jobs)
        if not found:
            raise UserError("Ray gives neither CPUs nor GPUs of these nodes to tasks")
        return found

    def _other_software(self, theirs: Mapping[str, str]) -> str | None:
        """Say what a node has in another version than here; records would not compare."""
        for name, ours in self._software.items():
            if theirs.get(name) != ours:
                return f"{name} {theirs.get(name, 'missing')}, here it is {ours}"
        return None
