"""Encoders of text."""

from __future__ import annotations

from typing import Any

from harness.models.catalogue.entry import Architecture, Published, encoder

DEBERTA_V3: dict[str, Any] = {
    "type_vocab_size": 0,
    "layer_norm_eps": 1e-7,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "pooler_dropout": 0.0,
    "pooler_hidden_act": "gelu",
}


def _bert(source: str, parameters: int, dims: dict[str, Any], **rest: Any) -> Architecture:
    return Architecture("bert", dims | rest, source, Published(parameters, "AutoModel"))


def _roberta(
    kind: str, source: str, parameters: int, vocabulary: int, dims: dict[str, Any]
) -> Architecture:
    options = dims | {
        "vocab_size": vocabulary,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
    }
    return Architecture(kind, options, source, Published(parameters, "AutoModel"))


def _deberta(source: str, parameters: int, dims: dict[str, Any]) -> Architecture:
    options = DEBERTA_V3 | dims | {"vocab_size": 128100, "pooler_hidden_size": dims["hidden_size"]}
    return Architecture("deberta-v2", options, source, Published(parameters, "AutoModel"))


_BASE, _LARGE = encoder(768, 12, 12), encoder(1024, 24, 16)

ENCODERS: dict[str, Architecture] = {
    "bert-base-uncased": _bert("google-bert/bert-base-uncased", 109_482_240, _BASE),
    "bert-large-uncased": _bert("google-bert/bert-large-uncased", 335_141_888, _LARGE),
    "bert-base-cased": _bert("google-bert/bert-base-cased", 108_310_272, _BASE, vocab_size=28996),
    "bert-base-multilingual-cased": _bert(
        "google-bert/bert-base-multilingual-cased", 177_853_440, _BASE, vocab_size=119547
    ),
    "distilbert-base-uncased": Architecture(
        "distilbert", {}, "distilbert/distilbert-base-uncased", Published(66_362_880, "AutoModel")
    ),
    "roberta-base": _roberta("roberta", "FacebookAI/roberta-base", 124_645_632, 50265, _BASE),
    "roberta-large": _roberta("roberta", "FacebookAI/roberta-large", 355_359_744, 50265, _LARGE),
    "xlm-roberta-base": _roberta(
        "xlm-roberta", "FacebookAI/xlm-roberta-base", 278_043_648, 250002, _BASE
    ),
    "xlm-roberta-large": _roberta(
        "xlm-roberta", "FacebookAI/xlm-roberta-large", 559_890_432, 250002, _LARGE
    ),
    "deberta-v3-base": _deberta("microsoft/deberta-v3-base", 183_831_552, _BASE),
    "deberta-v3-large": _deberta("microsoft/deberta-v3-large", 434_012_160, _LARGE),
    "modernbert-base": Architecture(
        "modernbert", {}, "answerdotai/ModernBERT-base",
        Published(149_655_232, "AutoModelForMaskedLM"),
    ),
    "modernbert-large": Architecture(
        "modernbert",
        {"hidden_size": 1024, "intermediate_size": 2624, "num_hidden_layers": 28,
         "num_attention_heads": 16},
        "answerdotai/ModernBERT-large",
        Published(395_881_664, "AutoModelForMaskedLM"),
    ),
}  # fmt: skip
