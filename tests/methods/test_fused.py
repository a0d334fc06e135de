"""Where query, key and value are in a projection that makes all three."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from methods import Plan, get_method, slices, surgery

PLAN = Plan(num_steps=4, steps_per_epoch=2, num_epochs=2)
LLM = {
    "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 32, "pad_token_id": 0,
}  # fmt: skip
CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "gpt2": ("GPT2LMHeadModel", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64},
             "c_attn"),
    "gpt": ("OpenAIGPTLMHeadModel", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64},
            "c_attn"),
    "bigcode-multi-query": ("GPTBigCodeForCausalLM", {"n_embd": 32, "n_layer": 2, "n_head": 4,
                            "vocab_size": 64, "multi_query": True}, "c_attn"),
    "bigcode": ("GPTBigCodeForCausalLM", {"n_embd": 32, "n_layer": 2, "n_head": 4,
                "vocab_size": 64, "multi_query": False}, "c_attn"),
    "phi3-grouped": ("Phi3ForCausalLM", {**LLM, "num_key_value_heads": 2}, "qkv_proj"),
    "mpt": ("MptForCausalLM", {"d_model": 32, "n_layers": 2, "n_heads": 4, "vocab_size": 64},
            "Wqkv"),
    "modernbert": ("ModernBertForMaskedLM", LLM, "Wqkv"),
    "gpt-neox": ("GPTNeoXForCausalLM", LLM, "query_key_value"),
    "bloom": ("BloomForCausalLM", {"hidden_size": 32, "n_layer": 2, "n_head": 4,
              "vocab_size": 64}, "query_key_value"),
    "persimmon": ("PersimmonForCausalLM", {**LLM, "qk_layernorm": False}, "query_key_value"),
    "falcon": ("FalconForCausalLM", {**LLM, "multi_query": False, "bias": True},
               "query_key_value"),
    "falcon-multi-query": ("FalconForCausalLM", {**LLM, "multi_query": True}, "query_key_value"),
    "falcon-grouped": ("FalconForCausalLM", {**LLM, "new_decoder_architecture": True,
                       "num_kv_heads": 2}, "query_key_value"),
    "deberta": ("DebertaForMaskedLM", {**LLM, "relative_attention": False,
                "position_biased_input": True}, "in_proj"),
}  # fmt: skip


def built(name: str) -> nn.Module:
    cls, config, _ = CASES[name]
    kind: Any = getattr(transformers, cls)
    torch.manual_seed(0)
    model: nn.Module = kind._from_config(kind.config_class(**config), attn_implementation="eager")
    with torch.no_grad():  # no bias is 0
        for key, parameter in model.named_parameters():
            if parameter.dim() > 1 or key.endswith("bias"):
                parameter.normal_(std=0.2)
    return model.eval()


def logits(model: Any) -> Tensor:
    ids = torch.randint(1, 64, (2, 9), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found: Tensor = model(input_ids=ids).logits
    return found


def opened(name: str) -> dict[str, nn.Module]:
    """Return the model, and its queries, keys and values of all layers."""
    model = built(name)
    names = surgery.target_modules(model, "qv")
    slices.opened(model, names)
    parts = {p: [m for n, m in model.named_modules() if n.endswith(f".{CASES[name][2]}.{p}")]
             for p in ("query", "key", "value")}  # fmt: skip
    return {"model": model, **{p: nn.ModuleList(found) for p, found in parts.items()}}


def fill(parts: nn.Module, std: float) -> None:
    with torch.no_grad():
        for parameter in parts.parameters():
            parameter.normal_(std=std) if std else parameter.zero_()


@pytest.mark.parametrize("name", CASES)
def test_taken_apart_and_put_together_it_is_the_same_model(name: str) -> None:
    model = built(name)
    before, wanted = {n: t.clone() for n, t in model.state_dict().items()}, logits(model)
    names = surgery.target_modules(model, "qv")
    assert len(names) == 4
    shapes = [slices.shape_at(model, n) for n in names]
    slices.opened(model, names)
    assert [slices.shape_at(model, n) for n in names] == shapes
    torch.testing.assert_close(logits(model), wanted)
    slices.put_together(model)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[n], tensor) for n, tensor in before.items())
    assert type(model.get_submodule(names[0].rpartition(".")[0])) is type(
        built(name).get_submodule(names[0].rpartition(".")[0])
    )


@pytest.mark.parametrize("name", CASES)
def test_each_part_is_what_it_is_called(name: str) -> None:
    """Without values attention puts out nothing; with queries of 0 it ignores the keys."""
    found = opened(name)
    for part in ("query", "key", "value"):
        assert len(list(found[part].children())) == 2
    fill(found["value"], 0)
    if name == "deberta":  # which adds a bias to queries and values beside
        for key, parameter in found["model"].named_parameters():
            if key.endswith(("q_bias", "v_bias")):
                parameter.data.zero_()
    without = logits(found["model"])
    fill(found["query"], 0.5)
    fill(found["key"], 0.5)
    torch.testing.assert_close(logits(found["model"]), without)
    fill(found["value"], 0.5)
    fill(found["query"], 0)
    flat = logits(found["model"])
    assert not torch.allclose(flat, without, atol=1e-3)
    fill(found["key"], 0.9)
    torch.testing.assert_close(logits(found["model"]), flat)
    fill(found["query"], 0.9)
    assert not torch.allclose(logits(found["model"]), flat, atol=1e-3)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", ["lora", "elora", "sora"])
def test_adapters_on_parts_fold_into_the_whole(name: str, method: str) -> None:
    chosen = get_method(method)(r=2, targets="qv")
    model = built(name)
    expected = chosen.expected_count(model)
    handle = chosen.attach(model, PLAN)
    assert expected in (None, sum(p.numel() for p in handle.adapter.values()))
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.normal_(std=0.2)
    wanted = logits(handle.model.eval())
    finished = handle.finish(handle.model).eval()
    torch.testing.assert_close(logits(finished), wanted, rtol=1e-3, atol=1e-3)
    assert list(finished.state_dict()) == list(built(name).state_dict())


def test_a_layout_that_is_not_known_is_no_part() -> None:
    with torch.device("meta"):
        model = transformers.CodeGenForCausalLM(
            transformers.CodeGenConfig(n_embd=64, n_layer=1, n_head=4, rotary_dim=8, vocab_size=64)
        )
    with pytest.raises(ValueError, match=r"no query projection and no value.*attn.qkv_proj"):
        surgery.target_modules(model, "qv")
