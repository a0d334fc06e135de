"""Optimizers of bitsandbytes and torchao: their states and what stands for them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from asked import request
from torch import nn

from harness.errors import UserError
from harness.simulation.fake import fake_run
from harness.suite.optimizers import OPTIMIZERS
from harness.suite.settings import TrainSettings
from harness.training import hollow_optimizers
from harness.training.hollow_optimizers import outside, paged_bytes
from harness.training.optim import (
    apply_change,
    load_optimizer_state,
    make_optimizer,
    optimizer_state,
)
from methods.base import Change, Resized

BITSANDBYTES = [name for name, kind in OPTIMIZERS.items() if kind.package == "bitsandbytes"]
TORCHAO = [name for name, kind in OPTIMIZERS.items() if kind.package == "torchao"]


class Net(nn.Module):
    """Tensors below 4,096 entries, of whole blocks and of broken ones, and an embedding."""

    def __init__(self, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        made: dict[str, Any] = {"device": device, "dtype": dtype}
        self.embedding = nn.Embedding(100, 64, **made)
        self.whole = nn.Linear(64, 128, **made)
        self.broken = nn.Linear(63, 67, **made)
        self.large = nn.Linear(400, 300, bias=False, **made)


def stepped(net: Net, steps: int = 1, foreach: bool | None = None, **settings: Any) -> Any:
    optimizer = make_optimizer(net, [], TrainSettings(**settings), foreach)
    torch.manual_seed(0)
    for _ in range(steps):
        for parameter in net.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return optimizer


def shapes_of(value: Any) -> Any:
    """Return sizes and types of all tensors in a state; a maker's counters are not compared."""
    if isinstance(value, torch.Tensor):
        return tuple(value.shape), value.dtype
    return {key: shapes_of(item) for key, item in value.items() if key != "step"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("states", ["fp32", "same"])
@pytest.mark.parametrize("name", BITSANDBYTES)
def test_what_stands_for_bitsandbytes_keeps_what_it_keeps(
    name: str, states: str, dtype: torch.dtype
) -> None:
    settings: dict[str, Any] = {"optimizer": name}
    settings |= {"embedding_states": states} if OPTIMIZERS[name].bits == 8 else {}
    real, hollow = Net(dtype=dtype), Net("meta", dtype)
    saved = [optimizer_state(stepped(net, **settings), net)["tensors"] for net in (real, hollow)]
    assert shapes_of(saved[0]) == shapes_of(saved[1])
    in_whole = shapes_of(saved[0])["embedding.weight"]["state1"][1] is torch.float32
    assert in_whole == (OPTIMIZERS[name].bits == 32 or states == "fp32")


def test_maps_are_one_for_all() -> None:
    for net in (Net(), Net("meta")):
        optimizer = stepped(net, optimizer="adamw-8bit")
        for number in (1, 2):
            maps = {id(s[f"qmap{number}"]) for s in optimizer.state.values() if "absmax1" in s}
            assert len(maps) == 1


def test_large_states_of_a_paged_one_are_outside_of_the_card() -> None:
    for name, size in (("adamw-paged", 4), ("adamw-paged-8bit", 1), ("lion-paged-8bit", 1)):
        optimizer = stepped(Net("meta"), foreach=True, optimizer=name)
        states = OPTIMIZERS[name].states
        assert paged_bytes(optimizer) == states * size * 120_000, "from 100,000 entries on"
        assert f"{states * size * 120_000 / 2**20:.1f} MiB" in outside(optimizer)[0]
    on_cpu = stepped(Net("meta"), optimizer="adamw-paged")
    assert paged_bytes(on_cpu) == 0, "bitsandbytes pages nothing there"


@pytest.mark.parametrize("name", ["adamw-8bit", "adamw-paged", "lion-8bit"])
def test_a_saved_state_goes_on_with_the_same_bytes(name: str) -> None:
    whole, first, second = Net(), Net(), Net()
    for net in (first, second):
        net.load_state_dict(whole.state_dict())
    stepped(whole, 2, optimizer=name)
    before = stepped(first, optimizer=name)
    second.load_state_dict(first.state_dict())
    after = make_optimizer(second, [], TrainSettings(optimizer=name))
    load_optimizer_state(optimizer_state(before, first), after, second)
    draw_again = [torch.randn_like(p) for p in _first_draws(second)]
    for parameter, gradient in zip(second.parameters(), draw_again, strict=True):
        parameter.grad = gradient
    after.step()
    for name_, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name_]), name_


def _first_draws(net: Net) -> list[nn.Parameter]:
    """Draw what a first step drew, so that the next numbers are a second step's."""
    torch.manual_seed(0)
    parameters = list(net.parameters())
    for parameter in parameters:
        torch.randn_like(parameter)
    return parameters


@pytest.mark.parametrize("name", ["adamw-8bit", "lion-8bit", "adamw-paged"])
@pytest.mark.parametrize("dim", [0, 1])
def test_what_is_left_of_a_tensor_goes_on_in_other_blocks(name: str, dim: int) -> None:
    net = Net()
    optimizer = stepped(net, 3, optimizer=name, lr=1e-2)
    old, kept = net.large.weight, torch.arange(0, net.large.weight.shape[dim], 2)
    before = optimizer.state[old]
    new = nn.Parameter(old.detach().index_select(dim, kept))
    apply_change(optimizer, Change(resized=(Resized(old, new, dim, kept),)))
    state = optimizer.state[new]
    assert state["step"] == 3
    assert old not in optimizer.state
    for number in range(1, OPTIMIZERS[name].states + 1):
        then, now = (_values(s, number) for s in (before, state))
        apart = (then.index_select(dim, kept) - now).abs().max() / then.abs().max()
        assert apart < 0.02, "one more rounding to eight bits"
    new.grad = torch.randn_like(new)
    optimizer.step()


def _values(state: dict[str, Any], number: int) -> torch.Tensor:
    from bitsandbytes.functional import dequantize_blockwise

    codes = state[f"state{number}"]
    if codes.dtype is not torch.uint8:
        return codes.clone()
    scales, values = state[f"absmax{number}"], state[f"qmap{number}"]
    found: torch.Tensor = dequantize_blockwise(codes, absmax=scales, code=values, blocksize=256)
    return found


@pytest.mark.parametrize(
    ("name", "block", "expected"),
    [
        # whole.weight has 8,192 entries: codes, scales and, of whole numbers, what they stand for.
        ("adamw-torchao-8bit", None, 8192 + 4 * 32 + 4 * 256),
        ("adamw-torchao-4bit", None, 4096 + 4 * 64 + 4 * 16),
        ("adamw-torchao-4bit", 256, 4096 + 4 * 32 + 4 * 16),
        ("adamw-torchao-fp8", None, 8192 + 4 * 32),
    ],
)
def test_what_stands_for_torchao_has_its_bytes(name: str, block: int | None, expected: int) -> None:
    net = Net("meta", torch.bfloat16)
    optimizer = stepped(net, optimizer=name, state_block=block)
    state = optimizer.state[net.whole.weight]
    assert sum(t.nbytes for t in state["exp_avg"].values()) == expected
    broken = optimizer.state[net.broken.weight]["exp_avg_sq"]
    assert broken.dtype is torch.bfloat16, "of 4,221 entries, no whole number of blocks"


@pytest.mark.parametrize("name", TORCHAO)
def test_what_stands_for_torchao_keeps_what_it_keeps(name: str) -> None:
    pytest.importorskip("torchao")
    real, hollow = Net(), Net("meta")
    saved = [
        optimizer_state(stepped(net, optimizer=name), net)["tensors"] for net in (real, hollow)
    ]
    assert shapes_of(saved[0]) == shapes_of(saved[1])


@pytest.mark.parametrize("name", TORCHAO)
def test_torchao_is_saved_and_narrowed(name: str) -> None:
    pytest.importorskip("torchao")
    net, other = Net(), Net()
    optimizer = stepped(net, 2, optimizer=name, lr=1e-2)
    other.load_state_dict(net.state_dict())
    again = make_optimizer(other, [], TrainSettings(optimizer=name, lr=1e-2))
    saved = optimizer_state(optimizer, net)
    load_optimizer_state(saved, again, other)
    assert shapes_of(optimizer_state(again, other)["tensors"]) == shapes_of(saved["tensors"])
    for one, two in zip(net.parameters(), other.parameters(), strict=True):
        one.grad = torch.randn_like(one)
        two.grad = one.grad.clone()
    for each in (optimizer, again):
        each.step()
    assert all(map(torch.equal, net.parameters(), other.parameters()))
    kept, old = torch.arange(64), net.whole.weight
    new = nn.Parameter(old.detach()[kept].clone())
    before = optimizer.state[old]["exp_avg"].dequantize()[kept]
    apply_change(optimizer, Change(resized=(Resized(old, new, 0, kept),)))
    now = optimizer.state[new]["exp_avg"].dequantize()
    assert (now - before).abs().max() / before.abs().max() < (0.1 if "4bit" in name else 0.04)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.suite.optimizers.find_spec", lambda name: None)
    for name, extra in (("adamw-8bit", "quantized"), ("adamw-torchao-4bit", "torchao")):
        stepped(Net("meta"), optimizer=name)  # a forecast needs none
        with pytest.raises(UserError, match=rf"optimizer = {name}: .*headroom-bench\[{extra}\]"):
            stepped(Net(), optimizer=name)


@pytest.mark.parametrize(("form", "seen"), [("8bit", 8), ("4bit", 24), ("fp8", 2)])
def test_a_step_of_torchao_s_takes_what_an_h100_saw(
    form: str, seen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes for each weight of the largest tensor: Llama-3.2-1B took 1.97, 5.89 and 0.50 GiB."""

    def optimizer_peak() -> int:
        asked = request("tiny-llama", "full", optimizer=f"adamw-torchao-{form}", family="causal_lm")
        return fake_run(asked).report.peaks["optimizer"]

    taken, embeddings = optimizer_peak(), 2000 * 32
    monkeypatch.setattr(hollow_optimizers, "TORCHAO_TAKES", {form: 0})
    # Without, what clipping takes is the most of this phase.
    assert taken - optimizer_peak() == pytest.approx(seen * embeddings, abs=16 * 1024)
