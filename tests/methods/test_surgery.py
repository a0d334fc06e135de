"""The structure of every family, as the field names it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sizes import FAMILIES
from sizes import build_classifier as build
from torch import nn

from methods import Plan, get_method, surgery
from methods.lora import Lora

PLAN = Plan(num_steps=1, steps_per_epoch=1, num_epochs=1)


@pytest.mark.parametrize("name", FAMILIES)
def test_family_layers_and_targets(name: str) -> None:
    model = build(name)
    family, layers, six, qv = FAMILIES[name]
    assert surgery.family(model) == family
    assert len(surgery.layers(model)) == layers
    found = {key: surgery.target_modules(model, key) for key in ("six", "qv", "attention", "ffn")}
    assert (len(found["six"]), len(found["qv"])) == (six, qv)
    whole = {n.rpartition(".")[0] if ".c_attn." in n else n for n in found["qv"]}
    assert whole < set(found["attention"])
    assert not set(found["attention"]) & set(found["ffn"])
    inside = [surgery.layer_of(module, surgery.layer_names(model)) for module in found["six"]]
    assert inside == sorted(inside)  # from the lowest layer up
    assert set(inside) == set(range(layers))


@pytest.mark.parametrize("name", FAMILIES)
def test_all_linear_is_every_linear_layer_of_the_layers(name: str) -> None:
    from transformers.pytorch_utils import Conv1D

    model = build(name)
    every = {
        f"{layer}.{inner}"
        for layer in surgery.layer_names(model)
        for inner, module in model.get_submodule(layer).named_modules()
        if isinstance(module, nn.Linear | Conv1D)
    }
    assert set(surgery.target_modules(model, "all-linear")) == every


@pytest.mark.parametrize("name", FAMILIES)
def test_parts_of_a_model_are_disjoint(name: str) -> None:
    model = build(name)
    names = surgery.layer_names(model)
    parts = [
        set(surgery.input_parameters(model)),
        {n for n, _ in model.named_parameters() if surgery.layer_of(n, names) is not None},
        set(surgery.pooler_parameters(model)),
        set(surgery.head_parameters(model)),
    ]
    everything = {n for n, _ in model.named_parameters()}
    assert sum(map(len, parts)) == len(set().union(*parts))
    rest = everything - set().union(*parts)
    # Only a LayerNorm behind the last layer belongs to no part.
    assert all("norm" in name or "ln_f" in name for name in rest), rest
    assert parts[0]
    assert parts[3]


def test_bart_goes_from_encoder_to_decoder() -> None:
    names = surgery.layer_names(build("tiny-bart"))
    assert names == [f"model.{side}.layers.{i}" for side in ("encoder", "decoder") for i in (0, 1)]


def test_suffix_hits_both_blocks() -> None:
    found = surgery.target_modules(build("tiny-bert"), ("output.dense",), (0, 1))
    assert [name.split("layer.0.")[1] for name in found] == [
        "attention.output.dense",
        "output.dense",
    ]


SAID = {
    ("tiny-gpt2", "qv"): "targets qv is two thirds of attn.c_attn here, which makes query, key and "
    "value: it is taken apart for it",
    ("tiny-gpt2", "six"): "targets six is four linear layers here: attn.c_attn is query, key and "
    "value in one",
    ("tiny-llama", "six"): "targets six leaves out mlp.gate_proj here; all-linear has it",
    ("tiny-bart", "qv"): "targets qv takes those of cross-attention, too: four in a decoder layer",
    ("tiny-bart", "six"): "targets six takes cross-attention, too: ten in a decoder layer",
    ("tiny-bart", "attention"): "targets attention takes cross-attention, too",
}


@pytest.mark.parametrize("targets", ["six", "qv", "attention", "ffn", "all-linear"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_set_that_is_not_what_it_says_is_told(name: str, targets: Any) -> None:
    """Six is q, k, v, the output and two of the feed-forward block; qv is two of them."""
    said = SAID.get((name, targets))
    assert surgery.what_targets_mean(build(name), targets) == ([said] if said else [])


@pytest.mark.parametrize(
    ("name", "targets", "said"),
    [
        ("tiny-llama", "six", ["targets six leaves out mlp.gate_proj here; all-linear has it"]),
        ("tiny-llama", "all-linear", []),
        ("tiny-bert", "six", []),
        ("tiny-bert", ("query", "output.dense"),
         ["targets output.dense fits attention.output.dense and output.dense"]),
    ],
)  # fmt: skip
def test_what_targets_mean_is_told_of_a_plain_and_of_an_edited_model(
    name: str, targets: Any, said: list[str]
) -> None:
    model = build(name)
    assert surgery.what_targets_mean(model, targets) == said
    Lora(targets=targets).attach(model, PLAN)
    assert surgery.what_targets_mean(model, targets) == said


def test_targets_stay_inside_the_layers() -> None:
    found = surgery.target_modules(build("tiny-bert"), ("dense",))
    assert len(found) == 12
    assert not any("pooler" in name for name in found)


@pytest.mark.parametrize(
    ("name", "targets", "message"),
    [
        ("tiny-bert", ("querry",), r"'querry'; did you mean 'query'"),
        ("tiny-vit", ("query",), r"vit model is called 'query'.*q_proj"),
        ("tiny-gpt2", ("q_proj",), r"'q_proj'; did you mean 'c_proj'"),
        ("tiny-bert", "sixx", r"unknown targets 'sixx'; did you mean 'six'.*as a list"),
    ],
)
def test_unknown_targets(name: str, targets: str | tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        surgery.target_modules(build(name), targets)


def test_a_model_of_another_type_is_known_by_its_structure() -> None:
    from transformers import AutoModel, DistilBertConfig

    with torch.device("meta"):
        model = AutoModel.from_config(DistilBertConfig(dim=8, n_heads=2, n_layers=1, hidden_dim=8))
    assert surgery.layer_names(model) == ["transformer.layer.0"]
    short = [name.removeprefix("transformer.layer.0.") for name in
             surgery.target_modules(model, "six")]  # fmt: skip
    assert short == ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin",
                     "ffn.lin1", "ffn.lin2"]  # fmt: skip


def test_layer_ranges() -> None:
    model = build("tiny-bert")
    assert surgery.select_layers(model, "upper-half") == range(2, 4)
    assert surgery.select_layers(model, "lower-half") == range(2)
    assert surgery.select_layers(model, (1, 4)) == range(1, 4)
    for wrong in [(2, 2), (0, 5), (-1, 2)]:
        with pytest.raises(ValueError, match=r"this model has layers \[0, 4\)"):
            surgery.select_layers(model, wrong)


def test_odd_number_of_layers_splits_at_half() -> None:
    model = build("tiny-bert")
    del model.bert.encoder.layer[3]
    assert surgery.select_layers(model, "upper-half") == range(2, 3)  # i >= 1.5
    assert surgery.select_layers(model, "lower-half") == range(2)


def test_what_joins_stages_belongs_to_the_lower_one() -> None:
    names = surgery.layer_names(build("tiny-swin"))
    assert surgery.layer_of("swin.encoder.layers.0.downsample.norm.bias", names) == 1
    assert surgery.layer_of("swin.layernorm.bias", names) is None


def test_layer_numbers_are_not_prefixes() -> None:
    names = [f"h.{i}" for i in range(12)]
    assert surgery.layer_of("h.11.mlp.weight", names) == 11
    assert surgery.layer_of("h.1.mlp.weight", names) == 1


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-gpt2", "tiny-bart"])
def test_structure_is_seen_through_adapters(name: str) -> None:
    model = build(name)
    before = surgery.target_modules(model, "six")
    shapes = [surgery.linear_shape(model.get_submodule(target)) for target in before]
    get_method("lora")(r=2).attach(model, PLAN)
    assert surgery.target_modules(model, "six") == before
    assert [surgery.linear_shape(model.get_submodule(target)) for target in before] == shapes
    assert {*shapes} == {(32, 96), (32, 32), (32, 128), (128, 32)} if name == "tiny-gpt2" else True


def test_structure_is_seen_through_a_prompt_wrapper() -> None:
    model = build("tiny-bert")
    inside = surgery.layer_names(model)
    handle = get_method("peft")(type="prompt_tuning", num_virtual_tokens=2).attach(model, PLAN)
    assert handle.model is not model
    assert surgery.layer_names(handle.model) == [f"base_model.{name}" for name in inside]
    assert set(surgery.head_parameters(handle.model)) == {
        "base_model.classifier.weight",
        "base_model.classifier.bias",
    }


@pytest.mark.parametrize("pooler", [False, True])
def test_freeze_base_leaves_the_head(pooler: bool) -> None:
    model = build("tiny-deberta-v2")
    surgery.freeze_base(model, Plan(1, 1, 1, train_pooler=pooler))
    found = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert found == ({"classifier", "pooler"} if pooler else {"classifier"})


def test_shared_parameters_belong_to_no_layer() -> None:
    model = build("tiny-bert")
    lower, upper = surgery.layers(model)[:2]
    upper.output.dense.bias = lower.output.dense.bias
    own = lower.output.LayerNorm.bias
    groups = surgery.group_by_layer(model, {"shared": lower.output.dense.bias, "own": own})
    assert [len(group) for group in groups] == [1, 0, 0, 0]
    assert groups[0][0] is own
