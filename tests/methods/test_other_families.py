"""The contract of methods on models of families that no table here names."""

from __future__ import annotations

from typing import Any

import contract
import pytest
import torch
import transformers
from contract import RULES, Case, check
from torch import nn

from methods import get_method

SIZE = {"vocab_size": 64, "num_labels": 3, "pad_token_id": 0}
WIDE: dict[str, Any] = {
    **SIZE, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
    "intermediate_size": 48, "max_position_embeddings": 32,
}  # fmt: skip
GROUPED = {**WIDE, "num_key_value_heads": 2}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "distilbert": ("DistilBert", {**SIZE, "dim": 32, "n_layers": 3, "n_heads": 4,
                                  "hidden_dim": 48}),
    "modernbert": ("ModernBert", {**WIDE, "eos_token_id": 2, "bos_token_id": 1, "cls_token_id": 1,
                                  "sep_token_id": 2}),
    "albert": ("Albert", {**WIDE, "embedding_size": 16}),
    "qwen3": ("Qwen3", {**GROUPED, "head_dim": 8}),
    "mixtral": ("Mixtral", {**GROUPED, "num_local_experts": 4}),
    "phi3": ("Phi3", {**GROUPED, "eos_token_id": 2, "bos_token_id": 1}),
    "gpt-neox": ("GPTNeoX", WIDE),
    "falcon": ("Falcon", {**WIDE, "new_decoder_architecture": True, "num_kv_heads": 2}),
    "opt": ("OPT", {**SIZE, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
                    "ffn_dim": 48, "max_position_embeddings": 32, "word_embed_proj_dim": 32}),
    "t5": ("T5", {**SIZE, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
                  "eos_token_id": 2, "decoder_start_token_id": 0}),
}  # fmt: skip
ALL = {"r": 4, "targets": "all-linear"}
SAFE: dict[str, Any] = {
    "over": {"lora": ALL}, "tau": {"quantile": 0.6}, "max_warmup": 2, "probe": 4,
}  # fmt: skip
# Values that a plain fake tensor does not have (the forecast answers for them): where texts end
# (T5), what a mask holds (ModernBERT), how many tokens an expert gets.
VALUES = frozenset({"attaches_to_fake_tensors", "trains_on_fake_tensors", "looks_at_fake_tensors"})
WAIVED = {"t5": VALUES, "modernbert": VALUES, "mixtral": VALUES}
ONE = frozenset({"every_layer_has_a_unit"})
NO_BASE = frozenset({"starts_at_the_base_model"})
DRAWN = frozenset({"every_adapter_tensor_gets_a_gradient", "trains_on_fake_tensors"})
TIED = frozenset({"training_leaves_the_base_alone"})  # the rule knows one name of a tensor
CASES: list[tuple[str, str, dict[str, Any], frozenset[str]]] = [
    *((name, "lora", ALL, frozenset()) for name in FAMILIES),
    *((name, "lora", {"r": 4, "targets": "qv"}, frozenset()) for name in ("falcon", "modernbert")),
    ("distilbert", "lora", {**ALL, "layers": "upper-half"}, ONE),
    *((name, "elora", ALL, frozenset()) for name in ("albert", "t5")),
    *((name, "bitfit", {}, frozenset()) for name in ("opt", "gpt-neox")),
    ("mixtral", "full", {}, frozenset()),
    ("t5", "full", {}, TIED),
    *((name, "safe", SAFE, frozenset()) for name in ("qwen3", "t5")),
    *((name, "safe", {**SAFE, "cache_prefix": True}, frozenset())
      for name in ("distilbert", "gpt-neox", "opt")),
    *((name, "adapterdrop", {"over": {"lora": ALL}}, DRAWN) for name in ("falcon", "t5")),
    ("distilbert", "houlsby", {}, NO_BASE),
    ("qwen3", "pfeiffer", {"init": "zero-up"}, frozenset()),
    ("phi3", "sora", ALL, frozenset()),
    ("opt", "aflora", ALL, frozenset()),
    ("qwen3", "adalora", {"targets": "all-linear"}, frozenset()),
]  # fmt: skip


def build(
    name: str, labels: int = 3, dtype: torch.dtype = torch.float32, seed: int = 0, **_: Any
) -> nn.Module:
    """Return a model as `tiny.build` does."""
    prefix, config = FAMILIES[name]
    kind: Any = getattr(transformers, f"{prefix}ForSequenceClassification")
    torch.manual_seed(seed)
    model = kind._from_config(kind.config_class(**config), attn_implementation="eager", dtype=dtype)
    model.config.use_cache = False
    assert labels == 3
    trained: nn.Module = model.train()
    return trained


@pytest.mark.parametrize(
    ("name", "method", "options", "waived"), CASES,
    ids=[f"{m}-{i}-{name}" for i, (name, m, *_) in enumerate(CASES)],
)  # fmt: skip
def test_contract_holds(
    name: str, method: str, options: dict[str, Any], waived: frozenset[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(contract, "build", build)
    assert waived <= {rule.__name__ for rule in RULES}
    waived |= WAIVED.get(name, frozenset())
    check(get_method(method)(**options), Case(options, name, waived))
