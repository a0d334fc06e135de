"""Models without some heads and channels compute what they did with these at zero."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import batch, one_thread  # noqa: F401
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from harness.models.catalogue import CATALOGUE
from methods import get_method, surgery
from methods.base import Plan
from methods.loraprune.compaction import keep_groups, select
from methods.loraprune.groups import GroupSet, group_sets, positions

PLAN = Plan(num_steps=60, steps_per_epoch=5, num_epochs=12)
# name of a tiny model, what is different here: four groups of heads each, or two where it says so
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("tiny-bert", {"num_attention_heads": 4}),
    "roberta": ("tiny-roberta", {"num_attention_heads": 4}),
    "deberta": ("tiny-deberta-v2", {"num_attention_heads": 4}),
    "deberta-own-positions": ("tiny-deberta-v2", {"num_attention_heads": 4}
                              | {"share_att_key": False}),
    "gpt2": ("tiny-gpt2", {"n_head": 4, "n_inner": 64}),
    "llama": ("tiny-llama", {"num_attention_heads": 8, "num_key_value_heads": 4}),
    "llama-wide": ("tiny-llama", {"num_attention_heads": 8, "num_key_value_heads": 4}
                   | {"head_dim": 8, "attention_bias": True, "mlp_bias": True}),
    "vit": ("tiny-vit", {"num_attention_heads": 4}),
}  # fmt: skip
KEPT = {"heads": [1, 2], "channels": [0, 5, 6, 40, 63]}


def build(name: str, attention: str = "eager") -> nn.Module:
    from transformers import (
        AutoConfig,
        AutoModelForImageClassification,
        AutoModelForSequenceClassification,
    )

    tiny, changed = MODELS[name]
    entry = CATALOGUE[tiny]
    config = AutoConfig.for_model(entry.model_type, **entry.config | changed)
    config.pad_token_id = 0
    kind = AutoModelForImageClassification if name == "vit" else AutoModelForSequenceClassification
    torch.manual_seed(0)
    model: nn.Module = kind.from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():  # no bias is 0
        for key, parameter in model.named_parameters():
            if key.endswith(".bias"):
                parameter.normal_(std=0.1)
    return model


def inputs(model: nn.Module) -> dict[str, Tensor]:
    if surgery.family(model) == "vit":
        generator = torch.Generator().manual_seed(1)
        return {"pixel_values": torch.randn(2, 3, 32, 32, generator=generator)}
    found = batch()
    found["attention_mask"][0, 7:] = 0  # padding, so that masks are there
    return found


def logits(model: nn.Module) -> Tensor:
    model.eval()
    with torch.no_grad():
        found: Tensor = model(**inputs(model)).logits
    return found


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
    from test_methods_surgery import build as build_any

    with pytest.raises(ValueError, match=r"heads of a .* model cannot be pruned.*bert, deberta"):
        group_sets(build_any(name))
