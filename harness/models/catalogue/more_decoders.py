"""Language models: GPT-2, Gemma, Phi, OLMo, Granite, Pythia, OPT, Falcon and others."""

from __future__ import annotations

from typing import Any

from harness.models.catalogue.decoders import model
from harness.models.catalogue.entry import Architecture, Published, rope, sizes


def _gpt2(source: str, parameters: int, hidden: int, layers: int, heads: int) -> Architecture:
    dims = {"n_embd": hidden, "n_layer": layers, "n_head": heads}
    return model("gpt2", f"openai-community/{source}", parameters, dims)


def _gemma(size: str, parameters: int, dims: dict[str, Any]) -> Architecture:
    return model("gemma", f"google/gemma-{size}", parameters, dims, {"head_dim": 256})


def _gemma2(size: str, parameters: int, dims: dict[str, Any]) -> Architecture:
    return model("gemma2", f"google/gemma-2-{size}", parameters, dims, {"head_dim": 256})


def _gemma3(size: str, parameters: int, dims: dict[str, Any]) -> Architecture:
    rest = {"head_dim": 256, "vocab_size": 262144, "sliding_window": 512,
            "max_position_embeddings": 32768}  # fmt: skip
    return model("gemma3_text", f"google/gemma-3-{size}", parameters, dims, rest)


def _pythia(
    size: str, parameters: int, vocabulary: int, hidden: int, layers: int, heads: int
) -> Architecture:
    rest = {"vocab_size": vocabulary, "hidden_size": hidden, "intermediate_size": 4 * hidden,
            "num_hidden_layers": layers, "num_attention_heads": heads,
            "bos_token_id": 0, "eos_token_id": 0}  # fmt: skip
    return model("gpt_neox", f"EleutherAI/pythia-{size}", parameters, rest)


def _opt(size: str, parameters: int, hidden: int, layers: int, heads: int) -> Architecture:
    rest = {"hidden_size": hidden, "ffn_dim": 4 * hidden, "num_hidden_layers": layers,
            "num_attention_heads": heads, "word_embed_proj_dim": hidden}  # fmt: skip
    return model("opt", f"facebook/opt-{size}", parameters, rest)


def _olmo2(size: str, parameters: int, dims: dict[str, Any]) -> Architecture:
    rest = {"vocab_size": 100352, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6,
            "pad_token_id": 100277, "eos_token_id": 100257}  # fmt: skip
    return model("olmo2", f"allenai/OLMo-2-{size}", parameters, dims, rope(500_000.0), rest)


def _granite(
    size: str, parameters: int, dims: dict[str, Any], attention: float, logits: float
) -> Architecture:
    rest = {"vocab_size": 49159, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
            "attention_multiplier": attention, "logits_scaling": logits,
            "embedding_multiplier": 12.0, "residual_multiplier": 0.22,
            "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
            "tie_word_embeddings": True}  # fmt: skip
    source = f"ibm-granite/granite-3.3-{size}-instruct"
    return model("granite", source, parameters, dims, rope(1e7), rest)


MORE_DECODERS: dict[str, Architecture] = {
    "gpt2": _gpt2("gpt2", 124_439_808, 768, 12, 12),
    "gpt2-medium": _gpt2("gpt2-medium", 354_823_168, 1024, 24, 16),
    "gpt2-large": _gpt2("gpt2-large", 774_030_080, 1280, 36, 20),
    "gpt2-xl": _gpt2("gpt2-xl", 1_557_611_200, 1600, 48, 25),
    "gemma-2b": _gemma("2b", 2_506_172_416, sizes(2048, 16384, 18, 8, 1)),
    "gemma-7b": _gemma("7b", 8_537_680_896, sizes(3072, 24576, 28, 16, 16)),
    "gemma-2-2b": _gemma2("2b", 2_614_341_888, sizes(2304, 9216, 26, 8, 4)),
    "gemma-2-9b": _gemma2("9b", 9_241_705_984, sizes(3584, 14336, 42, 16, 8)),
    "gemma-2-27b": model(
        "gemma2", "google/gemma-2-27b", 27_227_128_320, sizes(4608, 36864, 46, 32, 16),
        {"head_dim": 128, "query_pre_attn_scalar": 144},
    ),
    "gemma-3-270m": _gemma3("270m", 268_098_176, sizes(640, 2048, 18, 4, 1)),
    "gemma-3-1b": _gemma3("1b-pt", 999_885_952, sizes(1152, 6912, 26, 4, 1)),
    "phi-1.5": model(
        "phi", "microsoft/phi-1_5", 1_418_270_720,
        {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24,
         "num_attention_heads": 32}, rope(1e4, partial_rotary_factor=0.5),
    ),
    "phi-2": model(
        "phi", "microsoft/phi-2", 2_779_683_840,
        {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 32,
         "num_attention_heads": 32, "resid_pdrop": 0.1, "bos_token_id": 50256,
         "eos_token_id": 50256}, rope(1e4, partial_rotary_factor=0.4),
    ),
    "phi-3-mini-4k": model(
        "phi3", "microsoft/Phi-3-mini-4k-instruct", 3_821_079_552,
        sizes(3072, 8192, 32, 32), rope(1e4),
        {"vocab_size": 32064, "max_position_embeddings": 4096, "sliding_window": 2047},
    ),
    "phi-3.5-mini": Architecture(
        "phi3",
        sizes(3072, 8192, 32, 32) | rope(1e4)
        | {"vocab_size": 32064, "max_position_embeddings": 131072, "sliding_window": 262144},
        "microsoft/Phi-3.5-mini-instruct",
        Published(3_821_079_552, "AutoModelForCausalLM"),
        "rotary positions are plain, not longrope: which frequencies, no tensor's shape tells",
    ),
    "phi-4": model(
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
    "pythia-12b": _pythia("12b", 11_846_072_320, 50688, 5120, 36, 40),
    "redpajama-incite-3b": model(
        "gpt_neox", "togethercomputer/RedPajama-INCITE-Base-3B-v1", 2_775_864_320,
        {"vocab_size": 50432, "hidden_size": 2560, "intermediate_size": 10240,
         "num_hidden_layers": 32, "num_attention_heads": 32, "bos_token_id": 0, "eos_token_id": 0,
         "use_parallel_residual": False}, rope(1e4, partial_rotary_factor=1.0),
    ),
    "opt-125m": _opt("125m", 125_239_296, 768, 12, 12),
    "opt-350m": model(
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
    "falcon-7b": model(
        "falcon", "tiiuae/falcon-7b", 6_921_720_704,
        {"hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71,
         "vocab_size": 65024, "multi_query": True, "parallel_attn": True, "bias": False},
    ),
    "gpt-j-6b": model(
        "gptj", "EleutherAI/gpt-j-6b", 6_050_882_784, {"n_embd": 4096, "n_layer": 28, "n_head": 16}
    ),
    "mpt-7b": Architecture(
        "mpt", {"d_model": 4096, "n_heads": 32, "n_layers": 32, "vocab_size": 50432},
        "mosaicml/mpt-7b", Published(6_649_286_656, "AutoModelForCausalLM", "recalled"),
    ),
    "cerebras-gpt-1.3b": Architecture(
        "gpt2", {"n_embd": 2048, "n_layer": 24, "n_head": 16, "n_positions": 2048},
        "cerebras/Cerebras-GPT-1.3B", Published(1_315_723_264, "AutoModelForCausalLM", "recalled"),
    ),
    "stablelm-2-1.6b": model(
        "stablelm", "stabilityai/stablelm-2-1_6b", 1_644_515_328, sizes(2048, 5632, 24, 32),
        {"vocab_size": 100352, "use_qkv_bias": True, "bos_token_id": 100257,
         "eos_token_id": 100257}, rope(1e4, partial_rotary_factor=0.25),
    ),
    "starcoder2-3b": Architecture(
        "starcoder2", sizes(3072, 12288, 30, 24, 2)
        | {"vocab_size": 49152, "bos_token_id": 0, "eos_token_id": 0, "sliding_window": 4096},
        "bigcode/starcoder2-3b", Published(3_030_371_328, "AutoModelForCausalLM", "recalled"),
    ),
    "olmo-3-7b": model(
        "olmo3", "allenai/Olmo-3-1025-7B", 7_298_011_136, sizes(4096, 11008, 32, 32),
        {"vocab_size": 100278, "max_position_embeddings": 65536, "pad_token_id": 100277,
         "bos_token_id": None, "eos_token_id": 100257, "sliding_window": 4096},
    ),
    "command-r7b": model(
        "cohere2", "CohereLabs/c4ai-command-r7b-12-2024", 8_028_033_024,
        sizes(4096, 14336, 32, 32, 8), {"vocab_size": 256000, "logit_scale": 0.25},
    ),
    "glm-4-32b": Architecture(
        "glm4", sizes(6144, 23040, 61, 48, 2)
        | {"head_dim": 128, "vocab_size": 151552, "attention_bias": False},
        "zai-org/GLM-4-32B-0414", Published(32_566_081_536, "AutoModelForCausalLM", "recalled"),
    ),
    "seed-oss-36b": model(
        "seed_oss", "ByteDance-Seed/Seed-OSS-36B-Instruct", 36_151_104_512,
        sizes(5120, 27648, 64, 80, 8), rope(1e7), {"head_dim": 128, "vocab_size": 155136},
    ),
    "apertus-8b": model(
        "apertus", "swiss-ai/Apertus-8B-Instruct-2509", 8_053_338_176,
        sizes(4096, 21504, 32, 32, 8),
    ),
    "lfm2-350m": model(
        "lfm2", "LiquidAI/LFM2-350M", 354_483_968,
        {"vocab_size": 65536, "hidden_size": 1024, "block_ff_dim": 6656, "block_dim": 1024,
         "conv_dim": 1024, "num_hidden_layers": 16, "num_attention_heads": 16,
         "num_key_value_heads": 8, "full_attn_idxs": [2, 5, 8, 10, 12, 14],
         "tie_word_embeddings": True},
    ),
}  # fmt: skip
