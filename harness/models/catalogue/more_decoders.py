"""Language models: GPT-2, Gemma, Phi, OLMo, Granite, Pythia, OPT, Falcon."""

from __future__ import annotations

from typing import Any

from harness.models.catalogue.entry import Architecture, Published, rope, sizes


def _model(kind: str, source: str, parameters: int, *parts: dict[str, Any]) -> Architecture:
    config = {key: value for part in parts for key, value in part.items()}
    return Architecture(kind, config, source, Published(parameters, "AutoModelForCausalLM"))


def _gpt2(source: str, parameters: int, hidden: int, layers: int, heads: int) -> Architecture:
    dims = {"n_embd": hidden, "n_layer": layers, "n_head": heads}
    return _model("gpt2", f"openai-community/{source}", parameters, dims)


def _gemma2(size: str, parameters: int, dims: dict[str, Any]) -> Architecture:
    return _model("gemma2", f"google/gemma-2-{size}", parameters, dims, {"head_dim": 256})


def _gemma3(size: str, parameters: int, dims: dict[str, Any]) -> Architecture:
    rest = {"head_dim": 256, "vocab_size": 262144, "sliding_window": 512,
            "max_position_embeddings": 32768}  # fmt: skip
    return _model("gemma3_text", f"google/gemma-3-{size}", parameters, dims, rest)


def _gemma3_seeing(size: str, parameters: int, dims: dict[str, Any]) -> Architecture:
    positions = {
        "sliding_attention": rope(1e4)["rope_parameters"],
        "full_attention": rope(1e6, rope_type="linear", factor=8.0)["rope_parameters"],
    }
    text = dims | {"head_dim": 256, "vocab_size": 262208, "sliding_window": 1024,
                   "rope_parameters": positions}  # fmt: skip
    sight = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
             "num_attention_heads": 16, "image_size": 896, "patch_size": 14,
             "vision_use_head": False}  # fmt: skip
    return Architecture(
        "gemma3",
        {"text_config": text, "vision_config": sight, "mm_tokens_per_image": 256},
        f"google/gemma-3-{size}-pt",
        Published(parameters, "AutoModelForImageTextToText"),
    )


def _pythia(
    size: str, parameters: int, vocabulary: int, hidden: int, layers: int, heads: int
) -> Architecture:
    rest = {"vocab_size": vocabulary, "hidden_size": hidden, "intermediate_size": 4 * hidden,
            "num_hidden_layers": layers, "num_attention_heads": heads,
            "bos_token_id": 0, "eos_token_id": 0}  # fmt: skip
    return _model("gpt_neox", f"EleutherAI/pythia-{size}", parameters, rest)


def _opt(size: str, parameters: int, hidden: int, layers: int, heads: int) -> Architecture:
    rest = {"hidden_size": hidden, "ffn_dim": 4 * hidden, "num_hidden_layers": layers,
            "num_attention_heads": heads, "word_embed_proj_dim": hidden}  # fmt: skip
    return _model("opt", f"facebook/opt-{size}", parameters, rest)


def _olmo2(size: str, parameters: int, dims: dict[str, Any]) -> Architecture:
    rest = {"vocab_size": 100352, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6,
            "pad_token_id": 100277, "eos_token_id": 100257}  # fmt: skip
    return _model("olmo2", f"allenai/OLMo-2-{size}", parameters, dims, rope(500_000.0), rest)


def _granite(
    size: str, parameters: int, dims: dict[str, Any], attention: float, logits: float
) -> Architecture:
    rest = {"vocab_size": 49159, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
            "attention_multiplier": attention, "logits_scaling": logits,
            "embedding_multiplier": 12.0, "residual_multiplier": 0.22,
            "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
            "tie_word_embeddings": True}  # fmt: skip
    source = f"ibm-granite/granite-3.3-{size}-instruct"
    return _model("granite", source, parameters, dims, rope(1e7), rest)


MORE_DECODERS: dict[str, Architecture] = {
    "gpt2": _gpt2("gpt2", 124_439_808, 768, 12, 12),
    "gpt2-medium": _gpt2("gpt2-medium", 354_823_168, 1024, 24, 16),
    "gpt2-large": _gpt2("gpt2-large", 774_030_080, 1280, 36, 20),
    "gpt2-xl": _gpt2("gpt2-xl", 1_557_611_200, 1600, 48, 25),
    "gemma-2-2b": _gemma2("2b", 2_614_341_888, sizes(2304, 9216, 26, 8, 4)),
    "gemma-2-9b": _gemma2("9b", 9_241_705_984, sizes(3584, 14336, 42, 16, 8)),
    "gemma-3-270m": _gemma3("270m", 268_098_176, sizes(640, 2048, 18, 4, 1)),
    "gemma-3-1b": _gemma3("1b-pt", 999_885_952, sizes(1152, 6912, 26, 4, 1)),
    "gemma-3-4b": _gemma3_seeing("4b", 4_300_079_472, sizes(2560, 10240, 34, 8, 4)),
    "gemma-3-12b": _gemma3_seeing("12b", 12_187_325_040, sizes(3840, 15360, 48, 16, 8)),
    "phi-2": _model(
        "phi", "microsoft/phi-2", 2_779_683_840,
        {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 32,
         "num_attention_heads": 32, "resid_pdrop": 0.1, "bos_token_id": 50256,
         "eos_token_id": 50256}, rope(1e4, partial_rotary_factor=0.4),
    ),
    "phi-3.5-mini": Architecture(
        "phi3",
        sizes(3072, 8192, 32, 32) | rope(1e4)
        | {"vocab_size": 32064, "max_position_embeddings": 131072, "sliding_window": 262144},
        "microsoft/Phi-3.5-mini-instruct",
        Published(3_821_079_552, "AutoModelForCausalLM"),
        "rotary positions are plain, not longrope: which frequencies, no tensor's shape tells",
    ),
    "phi-4": _model(
        "phi3", "microsoft/phi-4", 14_659_507_200,
        sizes(5120, 17920, 40, 40, 10), rope(250_000.0),
        {"vocab_size": 100352, "max_position_embeddings": 16384, "bos_token_id": 100257,
         "eos_token_id": 100265, "pad_token_id": 100349},
    ),
    "phi-4-mini": Architecture(
        "phi3",
        sizes(3072, 8192, 32, 24, 8) | rope(1e4, partial_rotary_factor=0.75)
        | {"vocab_size": 200064, "max_position_embeddings": 131072, "sliding_window": 262144,
           "bos_token_id": 199999, "eos_token_id": 199999, "pad_token_id": 199999,
           "tie_word_embeddings": True},
        "microsoft/Phi-4-mini-instruct",
        Published(3_836_021_760, "AutoModelForCausalLM"),
        "rotary positions are plain, not longrope: which frequencies, no tensor's shape tells",
    ),
    "olmo-2-1b": _olmo2("0425-1B", 1_484_916_736, sizes(2048, 8192, 16, 16)),
    "olmo-2-7b": _olmo2("1124-7B", 7_298_617_344, sizes(4096, 11008, 32, 32)),
    "granite-3.3-2b": _granite("2b", 2_533_539_840, sizes(2048, 8192, 40, 32, 8), 0.015625, 8.0),
    "granite-3.3-8b": _granite("8b", 8_170_864_640, sizes(4096, 12800, 40, 32, 8), 0.0078125, 16.0),
    "pythia-160m": _pythia("160m", 162_322_944, 50304, 768, 12, 12),
    "pythia-410m": _pythia("410m", 405_334_016, 50304, 1024, 24, 16),
    "pythia-1b": _pythia("1b", 1_011_781_632, 50304, 2048, 16, 8),
    "pythia-1.4b": _pythia("1.4b", 1_414_647_808, 50304, 2048, 24, 16),
    "pythia-2.8b": _pythia("2.8b", 2_775_208_960, 50304, 2560, 32, 32),
    "pythia-6.9b": _pythia("6.9b", 6_857_302_016, 50432, 4096, 32, 32),
    "opt-125m": _opt("125m", 125_239_296, 768, 12, 12),
    "opt-350m": _model(
        "opt", "facebook/opt-350m", 331_196_416,
        {"hidden_size": 1024, "ffn_dim": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
         "word_embed_proj_dim": 512, "do_layer_norm_before": False},
    ),
    "opt-1.3b": _opt("1.3b", 1_315_758_080, 2048, 24, 32),
    "opt-6.7b": Architecture(
        "opt",
        {"hidden_size": 4096, "ffn_dim": 16384, "num_hidden_layers": 32,
         "num_attention_heads": 32, "word_embed_proj_dim": 4096},
        "facebook/opt-6.7b",
        Published(6_658_473_984, "AutoModelForCausalLM", "recalled"),
    ),
    "falcon-7b": _model(
        "falcon", "tiiuae/falcon-7b", 6_921_720_704,
        {"hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71,
         "vocab_size": 65024, "multi_query": True, "parallel_attn": True, "bias": False},
    ),
}  # fmt: skip
