"""Public architectures as data: what `model: {config: NAME}` builds, with random weights.

Values are those of each model's public config.json; what is not written here is the default of
its transformers config class. The tiny ones have the structure of their family at a size where a
training step takes milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Architecture:
    """One entry.

    Attributes:
        model_type: key of transformers' CONFIG_MAPPING.
        config: keyword arguments of the config class.
        source: hub id whose config.json this is; empty for those made up here.
    """

    model_type: str
    config: dict[str, Any] = field(default_factory=dict)
    source: str = ""


def _bert(source: str, hidden: int, layers: int, heads: int) -> Architecture:
    return Architecture("bert", _encoder(hidden, layers, heads), source)


def _encoder(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
    }


def _roberta(source: str, hidden: int, layers: int, heads: int) -> Architecture:
    options = _encoder(hidden, layers, heads) | {
        "vocab_size": 50265,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
    }
    return Architecture("roberta", options, source)


_DEBERTA_V3: dict[str, Any] = {
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


def _deberta(source: str, hidden: int, layers: int, heads: int) -> Architecture:
    size = _encoder(hidden, layers, heads)
    options = _DEBERTA_V3 | size | {"vocab_size": 128100, "pooler_hidden_size": hidden}
    return Architecture("deberta-v2", options, source)


def _gpt2(source: str, hidden: int, layers: int, heads: int) -> Architecture:
    return Architecture("gpt2", {"n_embd": hidden, "n_layer": layers, "n_head": heads}, source)


def _llama(source: str, **options: Any) -> Architecture:
    return Architecture("llama", options, source)


def _bart(source: str, hidden: int, layers: int, heads: int) -> Architecture:
    options: dict[str, Any] = {
        "d_model": hidden,
        "attention_dropout": 0.1,
        "activation_dropout": 0.1,
    }
    for side in ("encoder", "decoder"):
        options |= {
            f"{side}_layers": layers,
            f"{side}_attention_heads": heads,
            f"{side}_ffn_dim": 4 * hidden,
        }
    return Architecture("bart", options, source)


def _vit(source: str, hidden: int, layers: int, heads: int) -> Architecture:
    return Architecture("vit", _encoder(hidden, layers, heads), source)


def _swin(source: str, embed: int, heads: list[int]) -> Architecture:
    options = {"embed_dim": embed, "depths": [2, 2, 18, 2], "num_heads": heads, "window_size": 7}
    return Architecture("swin", options, source)


_TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
_TINY_TEXT = _TINY | {"vocab_size": 2000, "max_position_embeddings": 130}

CATALOGUE: dict[str, Architecture] = {
    "bert-base-uncased": _bert("google-bert/bert-base-uncased", 768, 12, 12),
    "bert-large-uncased": _bert("google-bert/bert-large-uncased", 1024, 24, 16),
    "roberta-base": _roberta("FacebookAI/roberta-base", 768, 12, 12),
    "roberta-large": _roberta("FacebookAI/roberta-large", 1024, 24, 16),
    "deberta-v3-base": _deberta("microsoft/deberta-v3-base", 768, 12, 12),
    "deberta-v3-large": _deberta("microsoft/deberta-v3-large", 1024, 24, 16),
    "gpt2": _gpt2("openai-community/gpt2", 768, 12, 12),
    "gpt2-medium": _gpt2("openai-community/gpt2-medium", 1024, 24, 16),
    "gpt2-large": _gpt2("openai-community/gpt2-large", 1280, 36, 20),
    "llama-7b": _llama(
        "huggyllama/llama-7b",
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        max_position_embeddings=2048,
        rms_norm_eps=1e-6,
    ),
    "llama-2-7b": _llama(
        "meta-llama/Llama-2-7b-hf",
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        max_position_embeddings=4096,
        rms_norm_eps=1e-5,
    ),
    "llama-3.2-3b": _llama(
        "meta-llama/Llama-3.2-3B",
        vocab_size=128256,
        hidden_size=3072,
        intermediate_size=8192,
        num_hidden_layers=28,
        num_attention_heads=24,
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=131072,
        rms_norm_eps=1e-5,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        bos_token_id=128000,
        eos_token_id=128001,
        tie_word_embeddings=True,
    ),
    "bart-base": _bart("facebook/bart-base", 768, 6, 12),
    "bart-large": _bart("facebook/bart-large", 1024, 12, 16),
    "vit-base-patch16-224": _vit("google/vit-base-patch16-224", 768, 12, 12),
    "vit-large-patch16-224": _vit("google/vit-large-patch16-224", 1024, 24, 16),
    "swin-base-patch4-window7-224": _swin(
        "microsoft/swin-base-patch4-window7-224", 128, [4, 8, 16, 32]
    ),
    "swin-large-patch4-window7-224": _swin(
        "microsoft/swin-large-patch4-window7-224", 192, [6, 12, 24, 48]
    ),
    "tiny-bert": Architecture("bert", _TINY_TEXT),
    "tiny-roberta": Architecture("roberta", _TINY_TEXT | {"type_vocab_size": 1}),
    "tiny-deberta-v2": Architecture(
        "deberta-v2", _DEBERTA_V3 | _TINY_TEXT | {"pooler_hidden_size": 32, "position_buckets": 16}
    ),
    "tiny-gpt2": Architecture(
        "gpt2",
        {"n_embd": 32, "n_layer": 4, "n_head": 2, "vocab_size": 2000, "n_positions": 130}
        | {"bos_token_id": 1999, "eos_token_id": 1999},
    ),
    "tiny-llama": Architecture("llama", _TINY_TEXT | {"num_key_value_heads": 1}),
    "tiny-bart": Architecture(
        "bart",
        _bart("", 32, 2, 2).config | {"vocab_size": 2000, "max_position_embeddings": 130},
    ),
    # Small enough to learn ten classes of 32 x 32 pixels from nothing on a CPU, in minutes.
    "small-vit": Architecture(
        "vit", _encoder(96, 4, 4) | {"intermediate_size": 192, "image_size": 32, "patch_size": 4}
    ),
    "small-swin": Architecture(
        "swin",
        {"embed_dim": 32, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}
        | {"image_size": 32, "patch_size": 2, "drop_path_rate": 0.0},
    ),
    "tiny-vit": Architecture("vit", _TINY | {"image_size": 32, "patch_size": 8}),
    "tiny-swin": Architecture(
        "swin",
        {"embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}
        | {"image_size": 32},
    ),
}
