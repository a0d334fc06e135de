"""The optimizer in the backward pass: the same training, with a gradient or two at a time."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from asked import request
from real import real_batch, real_run, real_state

from harness.metering.watch import NoWatch
from harness.simulation.target import CPU
from harness.training.in_backward import InBackward
from methods import METHODS, get_method

SETTINGS: dict[str, Any] = {"clip": None, "lr": 1e-2}


def trained(optimizer: str, in_backward: bool, method: str = "lora") -> dict[str, torch.Tensor]:
    """Return what trains, after three steps."""
    asked = request("tiny-llama", method, family="causal_lm", target=CPU, optimizer=optimizer,
                    optimizer_in_backward=in_backward, **SETTINGS)  # fmt: skip
    state = real_state(asked)
    batch = real_batch(asked, state.model)
    for number in range(3):
        state.step.run(number, [batch], [1.0], NoWatch())
    assert all(p.grad is None for p in state.model.parameters())
    return {name: p for name, p in state.model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("optimizer", ["adamw", "adamw-8bit", "sgd"])
def test_training_is_the_same(optimizer: str) -> None:
    """Full fine-tuning has tied weights, too: their gradient comes once, as a sum."""
    after, early = (trained(optimizer, on, "full") for on in (False, True))
    assert all(torch.equal(after[name], early[name]) for name in after)


def test_gradients_live_for_a_moment() -> None:
    """Of full fine-tuning all gradients but the largest two tensors' are saved."""
    given: dict[str, Any] = {"family": "causal_lm", "target": CPU, "optimizer": "sgd", **SETTINGS}
    plain = real_run(request("tiny-llama", "full", **given))
    early = real_run(request("tiny-llama", "full", optimizer_in_backward=True, **given))
    assert plain.peaks["optimizer"] - early.peaks["optimizer"] == pytest.approx(
        plain.split["weights.base"] + plain.split["weights.adapter"], rel=0.02
    )
    assert early.split["gradients"] <= plain.split["gradients"]


def test_what_was_trained_is_freed() -> None:
    """A tensor's hook that stayed would hold the optimizer, and it every tensor, for ever."""
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    hooks, weight = InBackward(optimizer), weakref.ref(net.weight)
    with hooks.stepping():
        net(torch.ones(1, 2)).sum().backward()
    del net, optimizer, hooks
    gc.collect()
    assert weight() is None


def test_another_backward_pass_steps_nothing() -> None:
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    hooks, before = InBackward(optimizer), net.weight.detach().clone()
    with hooks.stepping():
        net(torch.ones(1, 2)).sum().backward()
    assert not torch.equal(net.weight, before)
    assert net.weight.grad is None
    before = net.weight.detach().clone()
    net(torch.ones(1, 2)).sum().backward()
    assert torch.equal(net.weight, before)
    assert net.weight.grad is not None


def test_a_gradient_in_two_parts_is_refused() -> None:
    net = torch.nn.Linear(2, 2)
    hooks = InBackward(torch.optim.SGD(net.parameters(), lr=0.1))
    with hooks.stepping():
        net(torch.ones(1, 2)).sum().backward()
        with pytest.raises(Exception, match="gets its gradient in parts"):
            net(torch.ones(1, 2)).sum().backward()


def test_methods_that_read_gradients_say_so() -> None:
    """Every method with a hook of its own between backward and the optimizer is one."""
    reading = {"aflora", "loraprune", "sparseadapter", "sora", "adalora"}
    for name in METHODS:
        kind = get_method(name)
        if not any(field.is_required() for field in kind.model_fields.values()):
            assert ("in_backward" in kind().obstacles()) == (name in reading), name
    written = {file.parent.name for file in Path("methods").glob("*/*.py")
               if "def on_gradients" in file.read_text()}  # fmt: skip
    assert written <= reading
    assert "in_backward" in get_method("safe")(over="aflora", tau=0.5).obstacles()
    assert "in_backward" in get_method("peft")(type="ADAMSS", target_modules="qv").obstacles()
