"""Our handles beside peft used as its documentation says: same outputs, gradients and counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import AdaLoraConfig, LoraConfig, VeraConfig, get_peft_model
from tiny import backward, batch, build, logits
from torch import Tensor, nn

from methods import Handle, Plan, get_method, surgery
from methods.aflora.method import Aflora
from methods.elora import Elora

PLAN = Plan(num_steps=30, steps_per_epoch=10, num_epochs=3, seed=5)
SIX = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]
COMMON: dict[str, Any] = {"target_modules": SIX, "task_type": "SEQ_CLS"}
ADALORA: dict[str, Any] = {"init_r": 4, "target_r": 2, "delta_t": 2, "orth": 0.3, "alpha": 8}

PAIRS: dict[str, tuple[dict[str, Any], Callable[[], Any]]] = {
    "lora": (
        {"r": 4, "alpha": 8},
        lambda: LoraConfig(r=4, lora_alpha=8, **COMMON),
    ),
    "elora": (
        {"r": 16},
        lambda: VeraConfig(r=16, projection_prng_key=5, vera_dropout=0.0, **COMMON),
    ),
    "adalora": (
        ADALORA,
        lambda: AdaLoraConfig(
            init_r=4, target_r=2, deltaT=2, tinit=3, tfinal=9, total_step=30, lora_alpha=8,
            orth_reg_weight=0.3, **COMMON,
        ),
    ),
}  # fmt: skip


def both(method: str) -> tuple[Handle, nn.Module]:
    """Attach the method to a BERT, and peft to its twin."""
    options, config = PAIRS[method]
    torch.manual_seed(7)
    handle = get_method(method)(**options).attach(build(seed=1), PLAN)
    torch.manual_seed(7)
    return handle, get_peft_model(build(seed=1), config())


def theirs(model: nn.Module, name: str) -> nn.Parameter:
    """Find our tensor in peft's model; of the head it trains a copy."""
    name = name.replace("classifier.", "classifier.modules_to_save.default.")
    return model.get_parameter(f"base_model.model.{name}")


def trained(handle: Handle) -> dict[str, nn.Parameter]:
    return {name: p for name, p in handle.model.named_parameters() if p.requires_grad}


def their_backward(model: nn.Module) -> None:
    model(**batch(), labels=torch.tensor([0, 1])).loss.backward()


def train(handle: Handle, model: nn.Module, steps: range) -> None:
    """Run the same steps on both; every second one of a hand-written loop is peft's own."""
    ours = torch.optim.AdamW(trained(handle).values(), lr=0.01)
    others = [theirs(model, name) for name in trained(handle)]
    optimizer = torch.optim.AdamW(others, lr=0.01)
    handle.model.train()
    model.train()
    for step in steps:
        torch.manual_seed(step)  # the model's own dropout
        backward(handle)
        ours.step()
        handle.on_step(step)
        ours.zero_grad()
        torch.manual_seed(step)
        their_backward(model)
        optimizer.step()
        if hasattr(model.base_model, "update_and_allocate"):
            model.base_model.update_and_allocate(step)
        optimizer.zero_grad()


@pytest.mark.parametrize("method", PAIRS)
def test_same_start_counts_outputs_and_gradients(method: str) -> None:
    handle, model = both(method)
    count = sum(p.numel() for p in trained(handle).values())
    assert model.get_nb_trainable_parameters()[0] == count  # type: ignore[operator]
    assert sum(p.requires_grad for p in model.parameters()) == len(trained(handle))
    for name, parameter in trained(handle).items():
        assert torch.equal(parameter, theirs(model, name)), name
        with torch.no_grad():  # far from the start, where half of the gradients are 0
            parameter.add_(0.1 * torch.randn_like(parameter))
            theirs(model, name).copy_(parameter)
    assert torch.equal(logits(handle.model), logits(model))
    backward(handle)
    their_backward(model)
    for name, parameter in trained(handle).items():
        torch.testing.assert_close(parameter.grad, theirs(model, name).grad, msg=name)
        assert parameter.grad is not None
        assert parameter.grad.any(), name


@pytest.mark.parametrize("method", PAIRS)
def test_same_after_three_steps(method: str) -> None:
    handle, model = both(method)
    before = {name: p.detach().clone() for name, p in trained(handle).items()}
    train(handle, model, range(3))
    for name, parameter in trained(handle).items():
        torch.testing.assert_close(parameter.data, theirs(model, name).data, msg=name)
        assert not torch.equal(parameter, before[name]), name
    torch.testing.assert_close(logits(handle.model), logits(model))


def test_adalora_allocates_as_peft_does() -> None:
    handle, model = both("adalora")
    train(handle, model, range(30))
    pattern = model.peft_config["default"].rank_pattern  # type: ignore[union-attr, index]
    kept = {name: p for name, p in handle.adapter.items() if ".lora_E." in name}
    assert {name: (p != 0).flatten().tolist() for name, p in kept.items()} == pattern
    assert sum(sum(mask) for mask in pattern.values()) == 2 * len(kept)
    assert len({sum(mask) for mask in pattern.values()}) > 1, "all ranks fell alike"
    for name, parameter in kept.items():
        assert torch.equal(parameter, theirs(model, name)), name
    assert torch.equal(logits(handle.model), logits(model))


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-gpt2"])
def test_aflora_with_frozen_projections_is_elora(name: str) -> None:
    torch.manual_seed(0)
    elora = Elora(r=8, share="none").attach(build(name), PLAN)
    aflora = Aflora(r=8, adaptive="none").attach(build(name), PLAN)
    pairs: list[tuple[Tensor, Tensor]] = []
    for target in surgery.target_modules(build(name), "six"):
        stored: Any = aflora.model.get_submodule(target)
        vera: Any = elora.model.get_submodule(target)
        stored.A.copy_(vera.vera_A["default"])
        stored.B.copy_(vera.vera_B["default"])
        pairs += [(stored.s_d, vera.vera_lambda_d["default"])]
        pairs += [(stored.s_b, vera.vera_lambda_b["default"])]
    with torch.no_grad():
        for mine, others in pairs:
            mine.add_(torch.randn_like(mine))
            others.copy_(mine)
    assert sum(p.numel() for p in aflora.parameters()) == sum(p.numel() for p in elora.parameters())
    assert (logits(elora.model) - logits(build(name))).abs().max() > 1e-3
    torch.testing.assert_close(logits(aflora.model), logits(elora.model))
    for handle in (aflora, elora):
        handle.model.eval()
        backward(handle)
    for mine, others in pairs:
        torch.testing.assert_close(mine.grad, others.grad)
