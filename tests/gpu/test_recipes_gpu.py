"""What recipes set, on a real GPU: steps on quantised bases, optimizers, losses in pieces."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from asked import request
from torch import Tensor

from harness.metering.watch import NoWatch
from harness.tasks.families import get_family
from harness.training.attach import build_step
from harness.training.base import untrained
from methods import get_method

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]
DEVICE = torch.device("cuda", 0)
ROWS, LENGTH, STEPS = 16, 32, 3


def trained(method: str = "lora", **train: Any) -> tuple[list[float], dict[str, Tensor]]:
    """Train a small model for three steps on one batch; return its losses and what it trained."""
    asked = request("tiny-llama", method, family="causal_lm", steps=((ROWS, LENGTH),), **train)
    family = get_family("causal_lm")
    torch.manual_seed(0)
    with DEVICE:
        model = untrained(asked.model, family, 2, asked.train)
    one = get_method(method)()
    state = build_step(model, one, asked.plan(), asked.train, DEVICE, family)
    torch.manual_seed(1)
    ids = torch.randint(7, 2000, (ROWS, LENGTH), device=DEVICE)
    batch = {"input_ids": ids, "labels": ids, "attention_mask": torch.ones_like(ids)}
    losses, last = [], 0.0
    for number in range(STEPS):
        state.step.run(number, [batch], asked.parts(), NoWatch())
        losses.append(float(state.step.loss_sum) - last)
        last = float(state.step.loss_sum)
    moved = {n: p.detach().clone() for n, p in state.model.named_parameters() if p.requires_grad}
    return losses, moved


@pytest.mark.parametrize(
    "train",
    [
        {"weights": "nf4", "autocast": False},
        {"weights": "nf4", "compute": "bf16", "autocast": True, "double_quant": True},
        {"weights": "fp4", "autocast": False, "gradient_checkpointing": True},
        {"weights": "int8", "compute": "fp16", "autocast": False},
    ],
)
def test_a_quantised_base_trains_near_the_one_that_it_was(train: dict[str, Any]) -> None:
    whole, quantised = trained(precision="bf16-weights")[0], trained(**train)[0]
    assert quantised == pytest.approx(whole, rel=0.02)
    assert quantised[-1] < quantised[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("adamw", "adamw-plain"),
        ("adamw", "adamw-fused"),
        ("adamw", "adamw-paged"),
        ("adamw-8bit", "adamw-paged-8bit"),
    ],
)
def test_optimizers_that_are_the_same_train_alike(one: str, other: str) -> None:
    for (name, first), second in zip(
        trained("full", optimizer=one)[1].items(),
        trained("full", optimizer=other)[1].values(),
        strict=True,
    ):
        assert torch.allclose(first, second, atol=1e-5), name


@pytest.mark.parametrize(
    "optimizer", ["adamw-8bit", "adamw-torchao-8bit", "adamw-torchao-4bit", "adamw-torchao-fp8"]
)
def test_states_of_few_bits_train_nearly_alike(optimizer: str) -> None:
    if "torchao" in optimizer:
        pytest.importorskip("torchao")
    whole, few = trained("full"), trained("full", optimizer=optimizer)
    assert few[0] == pytest.approx(whole[0], rel=0.01)
    assert few[0][-1] < few[0][0]


@pytest.mark.parametrize("loss", ["chunked", "chunked-output", "liger"])
def test_a_loss_in_pieces_is_the_model_s(loss: str) -> None:
    if loss == "liger":
        pytest.importorskip("liger_kernel")
    whole, pieces = trained(), trained(loss=loss)
    assert pieces[0] == pytest.approx(whole[0], rel=1e-4)
