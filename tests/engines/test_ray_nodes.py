"""Which nodes and devices of a Ray cluster a run takes, from what Ray and the nodes tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from records import eight_cells

from harness.engines.needs import Need
from harness.engines.placing import Device, Placed, Turn
from harness.engines.ray_cluster import Census
from harness.engines.ray_nodes import Node, chosen, devices_of, selectors_of, shares_of
from harness.errors import UserError
from harness.units import GIB

TYPE = "ray.io/accelerator-type"
H100 = ("h100", 79 * GIB)
ODD = ("custom:9.00:8.6", 9 * GIB)
NODES = [
    Node("a", "box-a", {TYPE: "H100", "zone": "east"}, 16.0, 2, (H100, H100), 200 * GIB),
    Node(
        "b",
        "box-b",
        {TYPE: "A100", "zone": "west"},
        8.0,
        1,
        (("custom:9.00:8.6", 9 * GIB),),
        99 * GIB,
    ),
    Node("c", "box-c", {"zone": "west"}, 4.0, 0, (), 16 * GIB),
]
SOFTWARE = {"code of headroom": "abc", "torch": "2.13.0"}


def names(*asked: str) -> str:
    return "".join(node.name for node in chosen(NODES, selectors_of(asked)))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ([f"{TYPE}=H100"], "a"),
        ([f"{TYPE}=in(H100, A100)"], "ab"),
        ([f"{TYPE}=!H100"], "bc"),
        ([f"{TYPE}=!in(H100,A100)"], "c"),
        (["zone=west", f"{TYPE}=A100"], "b"),
        ([], "abc"),
    ],
)
def test_labels_select_as_ray_s_do(asked: list[str], found: str) -> None:
    assert names(*asked) == found


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([f"{TYPE}=H10"], f"--label {TYPE}=H10: no node of 3 is such a one; did you mean 'H100'"),
        (["zone=east", f"{TYPE}=A100"], f"--label {TYPE}=A100: no node of 1 is such a one"),
        (["zoned=east"], "--label zoned=east: no node of 3 has such a label; did you mean 'zone'"),
        (["zone=!in(east, west)"], "--label zone=!in(east, west): no node of 3"),
        (["zone"], "--label zone: give KEY=VALUE"),
        (["zone=in()"], "--label zone=in(): give KEY=VALUE"),
    ],
)
def test_labels_that_no_node_has_are_refused(asked: list[str], told: str) -> None:
    with pytest.raises(UserError) as error:
        names(*asked)
    assert told in str(error.value)


def test_devices_are_gpus_or_else_cpus() -> None:
    gpus = devices_of(NODES, jobs=2)
    assert [(d.name, d.kind, d.host, d.places) for d in gpus] == [
        ("a/0", "h100", "a", 2), ("a/1", "h100", "a", 2), ("b/0", "custom:9.00:8.6", "b", 2),
    ]  # fmt: skip
    [few] = devices_of([replace(NODES[0], gpus=1)], jobs=1)
    assert few.name == "a/0", "as many as Ray was told of"
    [cpu] = devices_of(NODES[2:], jobs=3)
    assert cpu == Device("c", "cpu", 16 * GIB, "c", 3)


def test_what_ray_is_asked_for_holds_what_the_queue_found(tmp_path: Path) -> None:
    cell = eight_cells(tmp_path)[0]

    def asked(node: Node, jobs: int, gib: float | None, devices: int = 1) -> tuple[float, float]:
        there = tuple(devices_of([node], jobs)[:devices])
        memory = () if gib is None else ((there[0].kind, int(gib * GIB)),)
        return shares_of(Placed(Turn(cell, Need(devices, memory)), there), node)

    gpu, cpu = NODES[0], NODES[2]
    assert asked(gpu, 1, 10) == (1.0, 1.0)
    assert asked(gpu, 1, 10, devices=2) == (2.0, 2.0)
    assert asked(gpu, 3, 10)[1] == 0.3333, "three of them fit"
    assert asked(gpu, 3, 39.5)[1] == 0.5, "by their memory two"
    assert asked(gpu, 3, None)[1] == 1.0, "what nobody knows has the card to itself"
    assert asked(cpu, 1, 1) == (4.0, 0.0)
    assert asked(cpu, 3, 1) == (1.0, 0.0)
    assert asked(cpu, 8, 1) == (0.5, 0.0)


def about(node: str, **other: Any) -> dict[str, Any]:
    """Return what a node says of itself, by way of Ray's driver."""
    said = {"host": f"box-{node}", "cards": [], "memory": GIB, "software": SOFTWARE, **other}
    return {"node": node, "labels": {}, "resources": {"CPU": 2.0}, "about": said}


def test_a_census_knows_which_nodes_have_spoken_and_leaves_out_those_that_differ() -> None:
    census = Census([], jobs=1, software=SOFTWARE)
    assert not census.is_whole
    census.hear({"nodes": ["a", "b", "c"]})
    census.hear(about("a"))
    census.hear(about("b", software={**SOFTWARE, "torch": "2.11.0"}))
    assert not census.is_whole
    census.hear({"node": "c", "labels": {}, "resources": {}, "failed": "No module named 'harness'"})
    assert census.is_whole
    assert [device.name for device in census.devices()] == ["a"]
    assert census.left_out["b"] == "box-b has torch 2.11.0, here it is 2.13.0"
    census.hear({"nodes": ["b", "c"]})
    with pytest.raises(UserError) as error:
        census.devices()
    assert "box-b has torch 2.11.0" in str(error.value)
    assert "cannot run Headroom: No module named 'harness'" in str(error.value)
