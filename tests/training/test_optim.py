"""Optimizer groups, schedules and the freeze primitive."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.suite.settings import TrainSettings
from harness.training.optim import apply_change, make_optimizer, make_schedule
from methods.base import Change, Resized


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.scale = nn.Parameter(torch.ones(4))
        self.classifier = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.norm(self.linear(x)) * self.scale)


def test_groups_by_head_and_decay() -> None:
    net = Net()
    settings = TrainSettings(lr=0.5, head_lr=0.25, weight_decay=0.1)
    optimizer = make_optimizer(net, net.classifier.parameters(), settings)
    found = {
        id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]
    }
    assert found[id(net.linear.weight)] == (0.5, 0.1)
    assert found[id(net.linear.bias)] == (0.5, 0.0)
    assert found[id(net.norm.weight)] == (0.5, 0.0)
    assert found[id(net.scale)] == (0.5, 0.1), "an adapter's vector decays"
    assert found[id(net.classifier.weight)] == (0.25, 0.1)
    assert found[id(net.classifier.bias)] == (0.25, 0.0)


def test_means_and_epsilon_are_the_suite_s() -> None:
    settings = TrainSettings(betas=(0.9, 0.98), eps=1e-6)
    for foreach in (None, True):
        optimizer = make_optimizer(nn.Linear(2, 2), [], settings, foreach)
        assert {(g["betas"], g["eps"]) for g in optimizer.param_groups} == {((0.9, 0.98), 1e-6)}
    with pytest.raises(ValueError, match="adamw's, and optimizer is sgd"):
        TrainSettings(optimizer="sgd", eps=1e-6)


def test_head_rate_is_the_rate_where_none_is_given() -> None:
    net = Net()
    optimizer = make_optimizer(net, net.classifier.parameters(), TrainSettings(lr=0.5))
    assert {group["lr"] for group in optimizer.param_groups} == {0.5}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("linear", [0, 0.5, 1, 0.5]), ("cosine", [0, 0.5, 1, 0.5]), ("constant", [0, 0.5, 1, 1])],
)
def test_schedules(schedule: str, expected: list[float]) -> None:
    net = nn.Linear(1, 1)
    settings = TrainSettings(lr=1.0, warmup=0.2, schedule=schedule)
    optimizer = make_optimizer(net, [], settings)
    scheduler = make_schedule(optimizer, settings, 10)
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert [rates[i] for i in (0, 1, 2, 6)] == pytest.approx(expected)


def moved_after(how: str) -> float:
    """Train three steps, freeze in one of three ways, step once more; return how far it moved."""
    parameter = nn.Parameter(torch.ones(()))
    other = nn.Parameter(torch.ones(()))
    optimizer = torch.optim.AdamW([parameter, other], lr=0.1, weight_decay=0.1)
    for _ in range(3):
        (parameter + other).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    (parameter + other).backward()
    before = parameter.item()
    if how == "ours":
        apply_change(optimizer, Change(frozen=(parameter,)))
    elif how == "zeroed":
        parameter.grad = torch.zeros(())
    elif how == "kept":
        parameter.requires_grad_(False)
    optimizer.step()
    return before - parameter.item()


def test_a_frozen_tensor_stands_still_and_the_alternatives_do_not() -> None:
    # Golden values: AdamW, lr 0.1, weight decay 0.1, after three steps of a constant gradient.
    assert moved_after("ours") == 0.0
    assert moved_after("zeroed") == pytest.approx(0.0886, abs=5e-4)
    assert moved_after("kept") == pytest.approx(0.1067, abs=5e-4)


def test_freezing_releases_gradient_state_and_place() -> None:
    net = Net()
    optimizer = make_optimizer(net, [], TrainSettings(weight_decay=0.1))
    net(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    net(torch.ones(2, 4)).sum().backward()
    groups = len(optimizer.param_groups)
    apply_change(optimizer, Change(frozen=(net.linear.weight,)))
    assert not net.linear.weight.requires_grad
    assert net.linear.weight.grad is None
    assert net.linear.weight not in optimizer.state
    assert all(p is not net.linear.weight for g in optimizer.param_groups for p in g["params"])
    assert len(optimizer.param_groups) == groups
    assert net.scale in optimizer.state


def test_a_resized_tensor_takes_the_old_ones_place() -> None:
    net = Net()
    optimizer = make_optimizer(net, [], TrainSettings(weight_decay=0.1, lr=0.5))
    old, new = net.linear.bias, nn.Parameter(torch.zeros(2))
    apply_change(optimizer, Change(resized=(Resized(old, new),)))
    group = next(g for g in optimizer.param_groups if any(p is new for p in g["params"]))
    assert group["weight_decay"] == 0.0
    assert all(p is not old for g in optimizer.param_groups for p in g["params"])


def test_what_is_left_of_a_resized_tensor_goes_on_as_if_alone() -> None:
    """The kept rows move, step for step, as the same rows do in a tensor that nobody shrank."""
    torch.manual_seed(0)
    whole, cut = (nn.Parameter(torch.arange(12.0).view(4, 3)) for _ in range(2))
    optimizers = [torch.optim.AdamW([p], lr=0.1) for p in (whole, cut)]
    kept = torch.tensor([0, 2])
    for step in range(5):
        grad = torch.randn(4, 3)
        whole.grad = grad.clone()
        cut.grad = grad.clone() if step < 3 else grad[kept].clone()
        for optimizer in optimizers:
            optimizer.step()
        if step == 2:
            new = nn.Parameter(cut.detach()[kept].clone())
            apply_change(optimizers[1], Change(resized=(Resized(cut, new, 0, kept),)))
            cut = new
    assert torch.equal(whole[kept], cut)


def test_what_the_method_lists_does_not_decay() -> None:
    net = Net()
    settings = TrainSettings(weight_decay=0.1)
    optimizer = make_optimizer(net, [], settings, undecayed=[net.linear.weight])
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert decays[id(net.linear.weight)] == 0.0
    assert 0.1 in decays.values()


def test_sgd_has_the_momentum_that_is_set_and_none_has_no_state() -> None:
    for momentum, held in ((0.9, True), (0.0, False)):
        settings = TrainSettings(optimizer="sgd", momentum=momentum)
        net = nn.Linear(2, 2)
        optimizer = make_optimizer(net, [], settings)
        net(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        assert {group["momentum"] for group in optimizer.param_groups} == {momentum}
        assert any(optimizer.state.values()) == held
    for name, value, other in (("momentum", 0.0, "adamw"), ("eps", 1e-6, "adafactor")):
        with pytest.raises(ValueError, match=f"{name} = {value} is .*'s, and optimizer is {other}"):
            TrainSettings(optimizer=other, **{name: value})
    assert TrainSettings(optimizer="adamw-fused", eps=1e-6).eps == 1e-6
    assert "momentum" not in TrainSettings(optimizer="sgd").model_dump(), "keys stay"


def test_adafactor_goes_tensor_by_tensor_on_every_device() -> None:
    """As torch chooses on CUDA, too: a forecast with foreach would hold temporaries of all."""
    for foreach in (None, True):
        optimizer = make_optimizer(
            nn.Linear(2, 2), [], TrainSettings(optimizer="adafactor"), foreach
        )
        assert {group["foreach"] for group in optimizer.param_groups} == {None}


@pytest.mark.parametrize("dim", [0, 1])
def test_adafactor_goes_on_with_what_is_left_of_a_tensor(dim: int) -> None:
    parameter = nn.Parameter(torch.arange(12.0).view(4, 3))
    net = nn.ParameterList([parameter])
    optimizer = make_optimizer(net, [], TrainSettings(optimizer="adafactor"))
    parameter.grad = torch.randn(4, 3)
    optimizer.step()
    row, kept = optimizer.state[parameter]["row_var"].clone(), torch.tensor([0, 2])
    new = nn.Parameter(parameter.detach().index_select(dim, kept))
    apply_change(optimizer, Change(resized=(Resized(parameter, new, dim, kept),)))
    state = optimizer.state[new]
    assert torch.equal(state["row_var"], row[kept] if dim == 0 else row)
    assert state["col_var"].shape == (1, new.shape[1])
    new.grad = torch.randn_like(new)
    optimizer.step()


def test_muon_is_torch_s_for_inner_matrices_and_adamw_for_the_rest() -> None:
    """Each tensor moves as under its own optimizer alone, also after what changes on the way."""
    torch.manual_seed(0)
    ours, theirs = Net(), Net()
    theirs.load_state_dict(ours.state_dict())
    settings = TrainSettings(optimizer="muon", lr=0.1, weight_decay=0.1, betas=(0.8, 0.9))
    optimizer = make_optimizer(ours, ours.classifier.parameters(), settings)
    others = [p for p in theirs.parameters() if p is not theirs.linear.weight]
    pair = [
        torch.optim.Muon([theirs.linear.weight], lr=0.1, weight_decay=0.1),
        torch.optim.AdamW(
            [
                {"params": [p for p in others if p.dim() < 2 and p is not theirs.scale],
                 "weight_decay": 0.0},
                {"params": [theirs.scale, theirs.classifier.weight]},
            ], lr=0.1, weight_decay=0.1, betas=(0.8, 0.9), fused=True,
        ),
    ]  # fmt: skip
    for step in range(3):
        for net, steps in ((ours, [optimizer]), (theirs, pair)):
            net(torch.arange(8.0).view(2, 4)).square().sum().backward()
            for one in steps:
                one.step()
            net.zero_grad()
        if step == 1:
            apply_change(optimizer, Change(frozen=(ours.scale,)))
            theirs.scale.requires_grad_(False)
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other), name
    assert set(optimizer.state[ours.linear.weight]) == {"momentum_buffer"}
    assert "exp_avg" in optimizer.state[ours.classifier.weight], "a head is none of Muon's"
