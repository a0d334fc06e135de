"""Methods on models that lack a part which they need say which."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from test_tree import hollow

from methods import Plan, get_method

PLAN = Plan(num_steps=100, steps_per_epoch=50, num_epochs=2)


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
        ("qwen3", "loraprune", "heads of qwen3 models cannot be pruned"),
        ("qwen3", "meft", "meft knows no layers of 'qwen3' models"),
    ],
)  # fmt: skip
def test_a_method_that_lacks_a_part_says_which(name: str, method: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        get_method(method)().attach(hollow(name), PLAN)


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


def test_a_cached_prefix_wants_layers_that_hand_one_state_on() -> None:
    from methods.safe.options import CacheLimits
    from methods.safe.prefix_cache import PrefixCache

    cases: list[tuple[str, Any, str]] = [
        ("albert", None, "its layers are called several times"),
        ("xlm", None, "its layers are in 2 lists"),
        ("clip", None, "it is fed with pixel_values"),
        ("openai-gpt", transformers.OpenAIGPTLMHeadModel, "its layers put out a list"),
        ("xlnet", transformers.XLNetForSequenceClassification, "do not take one hidden state"),
    ]
    for name, kind, reason in cases:
        with torch.device("meta"):
            model = hollow(name) if kind is None else kind(kind.config_class())
        with pytest.raises(ValueError, match=f"one stack of layers; this is a .*: .*{reason}"):
            PrefixCache(model, CacheLimits())
