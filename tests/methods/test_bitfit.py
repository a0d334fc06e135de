"""BitFit's invariants, and full fine-tuning beside it."""

from __future__ import annotations

import pytest
import torch
from tiny import PLAN, backward, build, logits

from methods import Handle, Plan, surgery
from methods.bitfit import BitFit
from methods.full import Full


def train(handle: Handle) -> None:
    params = [p for p in handle.model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(params, lr=0.5)
    backward(handle)
    optimizer.step()
    optimizer.zero_grad()


def test_only_biases_and_the_head_change_and_can_be_put_back() -> None:
    model = build()
    base, before = logits(model), {n: p.detach().clone() for n, p in model.named_parameters()}
    handle = BitFit(embeddings=True, pooler=True).attach(model, PLAN)
    model.train()
    train(handle)
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    head = set(surgery.head_parameters(model))
    assert changed - head == set(handle.adapter)
    assert {name.rpartition(".")[2] for name in changed - head} == {"bias"}
    assert not torch.equal(logits(model), base)
    with torch.no_grad():
        for name in changed:
            model.get_parameter(name).copy_(before[name])
    assert torch.equal(logits(model), base)


def test_key_biases_have_no_gradient_to_speak_of() -> None:
    """Softmax does not see what all keys have in common."""
    handle = BitFit().attach(build().double(), PLAN)
    backward(handle)
    biggest = {name: p.grad.abs().max().item() for name, p in handle.adapter.items()}
    assert max(g for name, g in biggest.items() if name.endswith("key.bias")) < 1e-16
    assert min(g for name, g in biggest.items() if name.endswith("value.bias")) > 1e-10


def test_embedding_bias_joins_the_lowest_unit() -> None:
    without, with_it = (BitFit(embeddings=e).attach(build(), PLAN) for e in (False, True))
    assert "bert.embeddings.LayerNorm.bias" not in without.adapter
    bias = with_it.adapter["bert.embeddings.LayerNorm.bias"]
    assert bias is with_it.units()[0][-1]
    assert [len(unit) for unit in with_it.units()] == [9, 8, 8, 8]


def test_deberta_has_no_trainable_tensor_below_the_first_layer() -> None:
    """The LayerNorm over relative positions feeds every layer."""
    handle = BitFit().attach(build("tiny-deberta-v2"), PLAN)
    assert not set(handle.adapter) & set(surgery.input_parameters(handle.model))
    assert sum(map(len, handle.units())) == len(handle.adapter)


def test_pooler_is_not_bitfits_own_where_the_plan_trains_it() -> None:
    plan = Plan(1, 1, 1, train_pooler=True)
    handle = BitFit(pooler=True).attach(build(), plan)
    assert not set(handle.adapter) & set(surgery.pooler_parameters(handle.model))
    assert all(p.requires_grad for p in surgery.pooler_parameters(handle.model).values())


def test_swin_biases_between_stages_freeze_with_the_lower_stage() -> None:
    model = build("tiny-swin", head="image")
    handle = BitFit().attach(model, PLAN)
    joint = handle.adapter["swin.encoder.layers.0.downsample.norm.bias"]
    assert any(parameter is joint for parameter in handle.units()[1])


def test_a_model_without_biases_is_refused() -> None:
    with pytest.raises(ValueError, match="layers of this llama model have none"):
        BitFit().attach(build("tiny-llama"), PLAN)


@pytest.mark.parametrize("pooler", [False, True])
def test_full_trains_everything(pooler: bool) -> None:
    model = build()
    handle = Full().attach(model, Plan(1, 1, 1, train_pooler=pooler))
    assert all(p.requires_grad for p in model.parameters())
    own = set(handle.adapter) & set(surgery.pooler_parameters(model))
    assert bool(own) != pooler  # not its own where every method trains it
    optimizer = torch.optim.AdamW(model.parameters())
    backward(handle)
    optimizer.step()
    assert len(optimizer.state) == len(list(model.parameters()))
