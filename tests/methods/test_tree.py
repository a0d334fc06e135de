"""The parts of models of many families, found in their trees of modules alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from methods import Plan, get_method, surgery

PLAN = Plan(num_steps=4, steps_per_epoch=2, num_epochs=2)
TWO = {"num_hidden_layers": 2}
BERT = "attention.self.query attention.self.key attention.self.value attention.output.dense"
LLAMA = "self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj"
BART = "self_attn.k_proj self_attn.v_proj self_attn.q_proj self_attn.out_proj"
GATED = "mlp.gate_proj mlp.up_proj mlp.down_proj"
T5 = (
    "layer.0.SelfAttention.q layer.0.SelfAttention.k layer.0.SelfAttention.v "
    "layer.0.SelfAttention.o"
)
# class, config: layers (digits as N) with their number; attention and ffn of the first; head
CASES: dict[str, tuple[str, dict[str, Any], dict[str, int], str, str, str]] = {
    "distilbert": (
        "DistilBertForSequenceClassification", {"n_layers": 2},
        {"distilbert.transformer.layer.N": 2},
        "attention.q_lin attention.k_lin attention.v_lin attention.out_lin",
        "ffn.lin1 ffn.lin2", "pre_classifier classifier",
    ),
    "albert": (
        "AlbertForSequenceClassification", {"num_hidden_layers": 12},
        {"albert.encoder.albert_layer_groups.N.albert_layers.N": 1},
        "attention.query attention.key attention.value attention.dense",
        "ffn ffn_output", "classifier",
    ),
    "electra": (
        "ElectraForSequenceClassification", TWO, {"electra.encoder.layer.N": 2}, BERT,
        "intermediate.dense output.dense", "classifier",
    ),
    "modernbert": (
        "ModernBertForSequenceClassification", TWO, {"model.layers.N": 2}, "attn.Wqkv attn.Wo",
        "mlp.Wi mlp.Wo", "head classifier",
    ),
    "xlm": (
        "XLMForSequenceClassification", {"n_layers": 2},
        {"transformer.attentions.N": 2, "transformer.ffns.N": 2},
        "q_lin k_lin v_lin out_lin", "", "sequence_summary",
    ),
    "funnel": (
        "FunnelForSequenceClassification", {"block_sizes": [1, 2]},
        {"funnel.encoder.blocks.N.N": 3},
        "attention.q_head attention.k_head attention.v_head attention.post_proj",
        "ffn.linear_1 ffn.linear_2", "classifier",
    ),
    "t5": (
        "T5ForConditionalGeneration", {"num_layers": 2},
        {"encoder.block.N": 2, "decoder.block.N": 2}, T5,
        "layer.1.DenseReluDense.wi layer.1.DenseReluDense.wo", "",
    ),
    "t5-answers": (
        "T5ForQuestionAnswering", {"num_layers": 2},
        {"encoder.block.N": 2, "decoder.block.N": 2}, T5,
        "layer.1.DenseReluDense.wi layer.1.DenseReluDense.wo", "qa_outputs",
    ),
    "whisper": (
        "WhisperForConditionalGeneration", {"encoder_layers": 2, "decoder_layers": 2},
        {"model.encoder.layers.N": 2, "model.decoder.layers.N": 2},
        BART, "fc1 fc2", "",
    ),
    "opt": (
        "OPTForCausalLM", TWO, {"model.decoder.layers.N": 2}, BART, "fc1 fc2", "",
    ),
    "gpt-neox": (
        "GPTNeoXForCausalLM", TWO, {"gpt_neox.layers.N": 2},
        "attention.query_key_value attention.dense", "mlp.dense_h_to_4h mlp.dense_4h_to_h", "",
    ),
    "falcon": (
        "FalconForCausalLM", TWO, {"transformer.h.N": 2},
        "self_attention.query_key_value self_attention.dense",
        "mlp.dense_h_to_4h mlp.dense_4h_to_h", "",
    ),
    "qwen3": ("Qwen3ForCausalLM", TWO, {"model.layers.N": 2}, LLAMA, GATED, ""),
    "gemma2": (
        "Gemma2ForSequenceClassification", TWO, {"model.layers.N": 2}, LLAMA, GATED, "score",
    ),
    "mixtral": ("MixtralForCausalLM", TWO, {"model.layers.N": 2}, LLAMA, "", ""),
    "mamba2": ("Mamba2ForCausalLM", TWO, {"backbone.layers.N": 2}, "mixer.in_proj", "", ""),
    "nemotron-h": (
        "NemotronHForCausalLM", {"layers_block_type": ["mamba", "mlp", "attention"]},
        {"model.layers.N": 3}, "mixer.in_proj", "", "",
    ),
    "qwen2-vl": (
        "Qwen2VLForConditionalGeneration", {"text_config": TWO},
        {"model.language_model.layers.N": 2}, LLAMA, GATED, "",
    ),
    "gemma3": (
        "Gemma3ForConditionalGeneration", {"text_config": TWO},
        {"model.language_model.layers.N": 2}, LLAMA, GATED, "",
    ),
    "clip": (
        "CLIPForImageClassification", {"vision_config": TWO},
        {"vision_model.encoder.layers.N": 2}, BART.replace("out_proj", "out_proj"),
        "mlp.fc1 mlp.fc2", "classifier",
    ),
    "dinov2": (
        "Dinov2ForImageClassification", TWO, {"dinov2.encoder.layer.N": 2},
        LLAMA.replace("self_attn", "attention"), "mlp.fc1 mlp.fc2", "classifier",
    ),
    "convnext": (
        "ConvNextForImageClassification", {"depths": [1, 2, 1, 1]},
        {"convnext.encoder.stages.N.layers.N": 5}, "", "pwconv1 pwconv2", "classifier",
    ),
    "segformer": (
        "SegformerForImageClassification", {}, {"segformer.stages.N.blocks.N": 8},
        LLAMA.replace("self_attn", "attention"), "mlp.fc1 mlp.fc2", "classifier",
    ),
    "resnet": (
        "ResNetForImageClassification", {"depths": [1, 2, 1, 1]},
        {"resnet.encoder.stages.N.layers.N": 5}, "", "", "classifier",
    ),
}  # fmt: skip


def hollow(name: str) -> nn.Module:
    cls, config, *_ = CASES[name]
    kind: Any = getattr(transformers, cls)
    with torch.device("meta"):
        model: nn.Module = kind(kind.config_class(**config))
    return model


@pytest.mark.parametrize("name", CASES)
def test_layers_linear_layers_and_head(name: str) -> None:
    _, _, layers, attention, ffn, head = CASES[name]
    model = hollow(name)
    names = surgery.layer_names(model)
    shown = [re.sub(r"\b\d+\b", "N", layer) for layer in names]
    assert {key: shown.count(key) for key in shown} == layers
    first = surgery.linears(model)[0]
    assert first.attention == tuple(attention.split())
    assert first.ffn == tuple(ffn.split())
    assert [n.rpartition(".")[2] for n in surgery.head_names(model)] == head.split()


@pytest.mark.parametrize("name", CASES)
def test_parts_are_disjoint_and_what_is_left_is_a_norm(name: str) -> None:
    model = hollow(name)
    names = surgery.layer_names(model)
    parts = [
        set(surgery.input_parameters(model)),
        {n for n, _ in model.named_parameters() if surgery.layer_of(n, names) is not None},
        set(surgery.pooler_parameters(model)),
        set(surgery.head_parameters(model)),
    ]
    assert sum(map(len, parts)) == len(set().union(*parts))
    left = {n for n, _ in model.named_parameters()} - set().union(*parts)
    assert all(re.search("norm|ln_f|lm_head|embed_out", n) for n in left), left
    assert parts[0]


@pytest.mark.parametrize("name", CASES)
def test_lora_adapts_every_linear_layer_once_or_says_that_there_is_none(name: str) -> None:
    model = hollow(name)
    method = get_method("lora")(r=2, targets="all-linear")
    if name == "resnet":
        with pytest.raises(ValueError, match="no linear layer was found in the layers of this res"):
            method.attach(model, PLAN)
        return
    targets = surgery.target_modules(model, "all-linear")
    expected = method.expected_count(model)
    handle = method.attach(model, PLAN)
    assert len(handle.adapter) == 2 * len(targets)
    assert sum(p.numel() for p in handle.adapter.values()) == expected
    assert surgery.target_modules(model, "all-linear") == targets
    assert len(handle.layers) == len(surgery.layer_names(model))


@pytest.mark.parametrize(
    ("name", "targets", "message"),
    [
        ("mamba2", "six", "no query projection and no key .* names out of mixer.in_proj"),
        ("mamba2", "qv", "no query projection and no value projection was found"),
        ("convnext", "attention", "no linear layer of attention was found.*pwconv1, pwconv2"),
        ("mixtral", "ffn", "no feed-forward layer was found in the layers of this mixtral"),
    ],
)
def test_what_was_not_found_is_told(name: str, targets: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        surgery.target_modules(hollow(name), targets)


@pytest.mark.parametrize(
    ("name", "targets", "said"),
    [
        ("mixtral", "all-linear", "leaves out mlp.experts here: experts in one tensor are no"),
        ("mamba2", "all-linear", "leaves out mixer.out_proj here: an adapter there would not"),
        ("t5", "six", "takes cross-attention, too: ten in a decoder layer"),
        ("gpt-neox", "qv", "is two thirds of attention.query_key_value here, which makes query"),
        ("falcon", "qv", "is 72 of 73 parts of self_attention.query_key_value here"),
        ("qwen3", "six", "leaves out mlp.gate_proj here; all-linear has it"),
    ],
)
def test_what_a_set_is_not_is_told(name: str, targets: Any, said: str) -> None:
    [remark] = surgery.what_targets_mean(hollow(name), targets)
    assert remark.startswith(f"targets {targets} {said}")


def test_a_model_of_one_layer_called_often_has_no_upper_half() -> None:
    with pytest.raises(ValueError, match="one layer, which may be called many times"):
        surgery.select_layers(hollow("albert"), "upper-half")


def test_what_joins_stages_belongs_to_the_layer_below_it() -> None:
    names = surgery.layer_names(hollow("convnext"))
    down = "convnext.encoder.stages.{}.downsampling_layer.1.weight"
    assert [surgery.layer_of(down.format(stage), names) for stage in range(3)] == [None, 0, 2]


def test_a_text_model_has_the_layers_and_the_tower_stands_in_front() -> None:
    model = hollow("qwen2-vl")
    inputs = set(surgery.input_parameters(model))
    assert any(name.startswith("model.visual.blocks.0.attn.qkv") for name in inputs)
    assert "model.language_model.embed_tokens.weight" in inputs


def test_experts_that_share_a_name_with_a_linear_layer_are_left_alone() -> None:
    """peft takes `shared_experts.gate_proj` for experts of transformers 4."""
    config = transformers.Qwen2MoeConfig(
        num_hidden_layers=1, hidden_size=32, intermediate_size=64, num_attention_heads=2,
        num_key_value_heads=2, num_experts=4, moe_intermediate_size=16, vocab_size=64,
        shared_expert_intermediate_size=16,
    )  # fmt: skip
    model = transformers.Qwen2MoeForCausalLM(config)
    handle = get_method("lora")(r=2, targets="all-linear").attach(model, PLAN)
    assert not any(".experts." in name for name in handle.adapter)
    assert any("shared_expert.gate_proj" in name for name in handle.adapter)


def test_a_model_whose_layers_train_only_with_their_inputs_is_refused() -> None:
    config = transformers.ReformerConfig(
        num_hidden_layers=2, attn_layers=["local", "local"], axial_pos_shape=(4, 4), vocab_size=64
    )
    with torch.device("meta"):
        model = transformers.ReformerForSequenceClassification(config)
    for name, options in (("lora", {"targets": "all-linear"}), ("bitfit", {}), ("houlsby", {})):
        with pytest.raises(ValueError, match="reformer's layers are reversible"):
            get_method(name)(**options).attach(model, PLAN)
    assert get_method("full")().attach(model, PLAN).adapter


@pytest.mark.parametrize(
    ("name", "method", "message"),
    [
        ("mixtral", "houlsby", "no output layer of the feed-forward block was found: model.la"),
        ("mamba2", "houlsby", "no output projection of attention was found in backbone.layers.0"),
        ("gemma2", "pfeiffer", "no LayerNorm was found of which it is known that it ends model.la"),
        ("distilbert", "pfeiffer", "no LayerNorm was .* sa_layer_norm, output_layer_norm"),
        ("qwen3", "bitfit", "bitfit trains biases, and the layers of this qwen3 model have none"),
        ("qwen3", "loraprune", "heads of a qwen3 model cannot be pruned"),
        ("qwen3", "meft", "meft knows no layers of 'qwen3' models"),
    ],
)  # fmt: skip
def test_a_method_that_lacks_a_part_says_which(name: str, method: str, message: str) -> None:
    long = Plan(num_steps=100, steps_per_epoch=50, num_epochs=2)
    with pytest.raises(ValueError, match=message):
        get_method(method)().attach(hollow(name), long)


@pytest.mark.parametrize("name", ["distilbert", "electra", "opt", "gpt-neox", "falcon", "qwen3"])
def test_houlsby_is_behind_both_output_projections(name: str) -> None:
    """Not on a dropout that is never called, or that drops attention weights out."""
    model = hollow(name)
    handle = get_method("houlsby")().attach(model, PLAN)
    homes = {key.rpartition(".adapter.")[0] for key in handle.adapter}
    assert len(homes) == 4
    assert not any("attention_dropout" in home for home in homes)
    known = ("output.dropout", "out_lin", "lin2", "out_proj", "fc2", "dense", "dense_4h_to_h",
             "o_proj", "down_proj")  # fmt: skip
    assert all(home.endswith(known) for home in homes), homes
