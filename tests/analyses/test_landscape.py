"""The grid of losses: which directions, which losses, and that nothing is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cells import LORA, cell_of, run, setup_of, weights
from torch import nn

from harness.analyses.landscape import Landscape, directions
from harness.training.setup import Setup
from harness.training.studies import _subject

SMALL = ("tasks=[{name: acceptability, train_rows: 24, evaluation_rows: 8}]", "train.lr=1.0e-2")
SHAPES = {"a": (6, 5), "b": (7, 2), "kernel": (4, 3, 2, 2), "bias": (9,), "r1": (8, 1)}


def tensors(scale: float = 1.0) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: nn.Parameter(scale * torch.randn(shape, generator=generator, dtype=torch.float64))
        for name, shape in SHAPES.items()
    }


def filters(name: str, tensor: torch.Tensor) -> torch.Tensor:
    whole = name in {"bias", "r1"}
    return tensor.reshape(1, -1) if whole else tensor.reshape(len(tensor), -1)


@pytest.mark.parametrize("name", SHAPES)
def test_filters_are_as_long_as_the_tensor_s_and_orthogonal(name: str) -> None:
    found = tensors()
    one, other = (filters(name, way) for way in directions(found, seed=3)[name])
    own = filters(name, found[name].detach())
    for way in (one, other):
        assert torch.allclose(way.norm(dim=1), own.norm(dim=1), rtol=1e-12)
    assert (one * other).sum(dim=1).abs().max() < 1e-12 * float(own.norm() ** 2)


def test_directions_are_the_seed_s_and_the_name_s_whatever_else_there_is() -> None:
    every, few = tensors(), {"b": tensors()["b"]}
    for one, other in zip(directions(every, 3)["b"], directions(few, 3)["b"], strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(directions(every, 3)["b"][0], directions(every, 4)["b"][0])
    assert not torch.equal(directions(every, 3)["a"][0][:1, :2], directions(every, 3)["b"][0][:1])
    twice = directions(tensors(2.0), 3)
    for name, (one, _) in directions(tensors(), 3).items():
        assert torch.allclose(2 * one, twice[name][0]), "they grow with the tensor"


def test_what_is_zero_stays_zero_and_one_number_has_one_direction() -> None:
    dead = {"b": nn.Parameter(torch.zeros(4, 3)), "scale": nn.Parameter(torch.tensor(2.0))}
    found = directions(dead, seed=0)
    assert not any(way.any() for way in found["b"])
    assert abs(float(found["scale"][0])) == 2.0
    assert float(found["scale"][1]) == 0.0


def conclude(setup: Setup, **options: Any) -> Any:
    setup.model.eval()
    return Landscape(**{"points": 5, "examples": 24, **options}).begin().conclude(_subject(setup))


def loss_at(setup: Setup, right: float, down: float) -> float:
    """The loss of all training rows with every trained tensor moved, by hand."""
    named = dict(setup.model.named_parameters())
    chosen = {n: p for n, p in named.items() if p.requires_grad}
    ways = directions(chosen, setup.order.seed)
    before = weights(setup)
    with torch.no_grad():
        for name, (one, other) in ways.items():
            named[name].add_(right * one + down * other)
        every = setup.order.tensors(list(range(len(setup.order.data))), setup.device)
        loss = float(setup.model(**every).loss)
        for name in ways:
            named[name].copy_(before[name])
    return loss


def test_each_point_is_the_loss_there_and_the_weights_come_back(tmp_path: Path) -> None:
    setup = run(cell_of(tmp_path, LORA, *SMALL))
    before = weights(setup)
    found = conclude(setup)
    assert all(torch.equal(p, before[n]) for n, p in setup.model.named_parameters())
    axis, losses = found.content["axis"], found.content["losses"]
    assert axis == [-1.0, -0.5, 0.0, 0.5, 1.0]
    for row, column in ((2, 2), (0, 4), (3, 1)):
        there = loss_at(setup, right=axis[column], down=axis[row])
        assert losses[row][column] == pytest.approx(there, rel=1e-5)
    assert found.content["loss"] == losses[2][2] == found.headline["loss at the end"]


def test_it_is_the_seed_s_alone(tmp_path: Path) -> None:
    found = [conclude(run(cell_of(tmp_path, LORA, *SMALL))) for _ in range(2)]
    assert found[0] == found[1]
    other = conclude(run(cell_of(tmp_path, LORA, *SMALL, "seeds=[1]")))
    assert other.content["losses"] != found[0].content["losses"]


def test_frozen_tensors_are_moved_as_the_others_are(tmp_path: Path) -> None:
    setup = run(cell_of(tmp_path, LORA, *SMALL))
    free = conclude(setup)
    for parameter in setup.handle.parameters():
        parameter.requires_grad_(False)
    assert conclude(setup) == free
    assert conclude(setup, over="trainable").content["parameters"] == sum(
        p.numel() for p in setup.state.head
    )


def test_with_nothing_to_move_it_says_so(tmp_path: Path) -> None:
    setup = setup_of(cell_of(tmp_path, LORA, *SMALL))
    for parameter in setup.model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(ValueError, match="over trainable: nothing is left"):
        conclude(setup, over="trainable")


def test_its_middle_is_on_a_point() -> None:
    with pytest.raises(ValueError, match="4 is even"):
        Landscape(points=4)
