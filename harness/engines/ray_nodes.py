"""Which nodes of a Ray cluster a run may use, by their labels, and what devices they are.

Ray keeps a task whose labels no node has waiting for ever; here they are an error before anything
is submitted. Selectors are written as Ray has them: `key=value`, `key=!value`, `key=in(a, b)` and
`key=!in(a, b)`; one with `!` also takes nodes without the key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.engines.here import CPU
from harness.engines.placing import Device, Placed
from harness.errors import UserError
from methods.wording import nearest

VALUE = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?"
CONDITION = re.compile(rf"(?P<no>!?)(?:in\((?P<many>{VALUE}(?:, ?{VALUE})*)\)|(?P<one>{VALUE}))")


@dataclass(frozen=True)
class Selector:
    """What a node's label must be: one of `values`, or none of them."""

    key: str
    values: tuple[str, ...]
    negated: bool = False

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a node with these labels will do."""
        return (labels.get(self.key) in self.values) != self.negated


@dataclass(frozen=True)
class Node:
    """A node as Ray tells of it, and as it tells itself.

    Attributes:
        name: Ray's id of it.
        host: its name in the network.
        labels: Ray's own and those it was started with.
        cpus, gpus: as many as Ray gives to tasks.
        cards: kind of each GPU, as forecasts have it, and the bytes that torch sees of it.
        memory: bytes of host memory.
    """

    name: str
    host: str
    labels: Mapping[str, str] = field(default_factory=dict)
    cpus: float = 0.0
    gpus: int = 0
    cards: tuple[tuple[str, int], ...] = ()
    memory: int = 0


def selectors_of(asked: Iterable[str]) -> list[Selector]:
    """Return what was asked for as `key=value`.

    Raises:
        UserError: one is not written as Ray has them.
    """
    found = []
    for text in asked:
        key, equals, value = text.partition("=")
        match = CONDITION.fullmatch(value.strip())
        if not (equals and key.strip() and match):
            raise UserError(
                f"--label {text}: give KEY=VALUE, KEY=!VALUE, KEY=in(A,B) or KEY=!in(A,B), "
                "such as ray.io/accelerator-type=H100"
            )
        values = match["one"] or match["many"]
        found.append(Selector(key.strip(), tuple(re.split(", ?", values)), bool(match["no"])))
    return found


def node_of(told: Mapping[str, Any]) -> Node:
    """Return a node as Ray's driver tells of it."""
    about, resources = told["about"], told["resources"]
    return Node(
        name=told["node"],
        host=about["host"],
        labels=told["labels"],
        cpus=resources.get("CPU", 0.0),
        gpus=int(resources.get("GPU", 0)),
        cards=tuple((kind, memory) for kind, memory in about["cards"]),
        memory=about["memory"],
    )


def chosen(nodes: Sequence[Node], selectors: Sequence[Selector]) -> list[Node]:
    """Return the nodes whose labels are as asked for.

    Raises:
        UserError: there is none, with what there is in place of the first that is in vain.
    """
    left = list(nodes)
    for selector in selectors:
        found = [node for node in left if selector.takes(node.labels)]
        if not found:
            raise UserError(_in_vain(selector, left))
        left = found
    return left


def _in_vain(selector: Selector, nodes: Sequence[Node]) -> str:
    sign = "!" if selector.negated else ""
    values = (
        selector.values[0] if len(selector.values) == 1 else f"in({', '.join(selector.values)})"
    )
    asked = f"--label {selector.key}={sign}{values}"
    there = [node.labels[selector.key] for node in nodes if selector.key in node.labels]
    if there:
        hint = nearest(selector.values[0], there)
        return f"{asked}: no node of {len(nodes)} is such a one; {hint}"
    keys = [key for node in nodes for key in node.labels]
    return f"{asked}: no node of {len(nodes)} has such a label; {nearest(selector.key, keys)}"


def devices_of(nodes: Sequence[Node], jobs: int) -> list[Device]:
    """Return the GPUs of the nodes, or where none has any, each node's CPU.

    Args:
        nodes: that may be used.
        jobs: cells that run on a device at a time.
    """
    if any(node.cards and node.gpus for node in nodes):
        return [device for node in nodes for device in _gpus(node, jobs)]
    return [Device(node.name, CPU, node.memory, node.name, jobs) for node in nodes if node.cpus]


def _gpus(node: Node, jobs: int) -> list[Device]:
    """Return as many of a node's cards as Ray gives to tasks; it says which to each of them."""
    return [
        Device(f"{node.name}/{number}", kind, memory, node.name, jobs)
        for number, (kind, memory) in enumerate(node.cards[: node.gpus])
    ]


def shares_of(placed: Placed, node: Node) -> tuple[float, float]:
    """Return the CPUs and GPUs that Ray is asked for, so that it runs what fits beside each other.

    Cells that share a card have the share of its memory that they need, and at least that of their
    number: Ray, which chooses among the cards of a node, then keeps to both.
    """
    [device, *_], need = placed.devices, placed.turn.need
    places = device.places if placed.shares else 1
    if device.kind == CPU:
        share = node.cpus / places
        return (math.floor(share) if share > 1 else share), 0.0
    cpus = min(1.0, node.cpus / max(1, node.gpus) / device.places)
    if not placed.shares:
        return _to_ray(cpus * need.devices), float(need.devices)
    memory = (need.on(device.kind) or 0) / device.memory
    return _to_ray(cpus), max(_to_ray(memory), _to_ray(1 / places))


def _to_ray(share: float) -> float:
    """Return a share as Ray counts: in ten-thousandths, of which all together are never above 1."""
    return math.floor(share * 10_000) / 10_000
