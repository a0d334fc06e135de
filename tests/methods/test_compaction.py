"""Models without some heads and channels compute what they did with these at zero."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from prunable import MODELS, PLAN, build, inputs, logits
from sizes import build_classifier
from torch import nn
from transformers.pytorch_utils import Conv1D

from methods import get_method, surgery
from methods.loraprune.compaction import keep_groups, select
from methods.loraprune.groups import GroupSet, group_sets, positions

KEPT = {"heads": [1, 2], "channels": [0, 5, 6, 40, 63]}


def zero_others(model: nn.Module, groups: GroupSet) -> None:
    """Set the rows of all groups but KEPT's to 0 in the layers that put them out."""
    for member in groups.members:
        linear = model.get_submodule(member.name)
        if member.dim == 0 and member.scored:
            size = surgery.linear_shape(linear)[1]
            kept = torch.zeros(size)
            kept[positions(torch.tensor(KEPT[groups.kind]), groups.count, size, member.parts)] = 1
            weight = linear.get_parameter("weight").data
            weight.mul_(kept if isinstance(linear, Conv1D) else kept[:, None])
            if linear.bias is not None:
                linear.get_parameter("bias").data.mul_(kept)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_taken_out_was_zero(name: str, attention: str) -> None:
    if attention == "sdpa" and name.startswith("deberta"):
        pytest.skip("transformers has no such DeBERTa")
    zeroed, compacted = build(name, attention), build(name, attention)
    before = logits(zeroed)
    for groups in group_sets(zeroed):
        zero_others(zeroed, groups)
        keep_groups(compacted, groups, groups.count, torch.tensor(KEPT[groups.kind]))
    torch.testing.assert_close(logits(compacted), logits(zeroed), atol=1e-5, rtol=0)
    assert (logits(compacted) - before).abs().max() > 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_shapes_fit(name: str) -> None:
    model = build(name)
    for groups in group_sets(model):
        assert groups.count == (4 if groups.kind == "heads" else 64)
        before = [surgery.linear_shape(model.get_submodule(m.name)) for m in groups.members]
        kept = KEPT[groups.kind]
        keep_groups(model, groups, groups.count, torch.tensor(kept))
        for member, shape in zip(groups.members, before, strict=True):
            now = surgery.linear_shape(model.get_submodule(member.name))
            along = 1 - member.dim
            assert now[along] * groups.count == shape[along] * len(kept)
            assert now[1 - along] == shape[1 - along]
            bias = model.get_submodule(member.name).bias
            assert bias is None or bias.shape == (now[1],)
    model(**inputs(model)).logits.sum().backward()


def test_a_group_is_a_key_head_with_all_its_queries() -> None:
    model = build("llama")
    groups = group_sets(model)[0]
    attention: Any = model.get_submodule(groups.attention)
    rows = {key: getattr(attention, key).weight.clone() for key in ("q_proj", "k_proj")}
    keep_groups(model, groups, groups.count, torch.tensor([1, 3]))
    queries = rows["q_proj"].view(4, 2, 4, 32)[[1, 3]].reshape(16, 32)
    assert torch.equal(attention.q_proj.weight, queries)
    assert torch.equal(attention.k_proj.weight, rows["k_proj"].view(4, 4, 32)[[1, 3]].view(8, 32))


def test_fused_parts_keep_the_same_heads() -> None:
    found = positions(torch.tensor([0, 2]), count=3, size=18, parts=3)
    assert found.tolist() == [0, 1, 4, 5, 6, 7, 10, 11, 12, 13, 16, 17]


def test_groups_go_one_set_after_another() -> None:
    """Twice half of the groups leaves the same as a quarter at once."""
    twice, once = build("gpt2"), build("gpt2")
    for groups in group_sets(once):
        half = torch.arange(0, groups.count, 2)
        keep_groups(twice, groups, groups.count, half)
        keep_groups(twice, groups, len(half), torch.arange(len(half) // 2))
        keep_groups(once, groups, groups.count, half[: len(half) // 2])
    assert torch.equal(logits(twice), logits(once))


def test_adapters_shrink_with_their_layer() -> None:
    model = build("bert")
    handle = get_method("lora")(r=4).attach(model, PLAN)
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.normal_()
    heads, channels, *_ = group_sets(model)
    kept = torch.tensor([1, 2])
    resized = keep_groups(model, heads, heads.count, kept)
    rows = positions(kept, 4, 32, 1)
    assert [pair.dim for pair in resized] == [0, 0, 0, 1]
    for pair in resized:
        assert pair.dim is not None
        assert pair.kept is not None
        assert torch.equal(pair.kept, rows)
        assert torch.equal(pair.new, pair.old.index_select(pair.dim, rows))
        assert pair.new.requires_grad
    keep_groups(model, channels, channels.count, torch.tensor([3]))
    before = logits(model)
    torch.testing.assert_close(logits(handle.finish(model)), before, atol=1e-5, rtol=0)


def test_frozen_stays_frozen_and_devices_without_values_do() -> None:
    linear = nn.Linear(6, 4, device="meta").requires_grad_(False)
    select(linear, 0, torch.tensor([0, 3]))
    assert (linear.weight.shape, linear.bias.shape, linear.out_features) == ((2, 6), (2,), 2)
    assert linear.weight.is_meta
    assert not linear.weight.requires_grad


@pytest.mark.parametrize("name", ["tiny-bart", "tiny-swin"])
def test_families_whose_heads_stay(name: str) -> None:
    with pytest.raises(ValueError, match=r"heads of .* models cannot be pruned.*bert, deberta"):
        group_sets(build_classifier(name))
