"""Language models: Llama and what is built like it, Qwen, Mistral, SmolLM."""

from __future__ import annotations

from typing import Any

from harness.models.catalogue.entry import Architecture, Published, llama3_rope, rope, sizes

_LLAMA_3: dict[str, Any] = {
    "vocab_size": 128256, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
    "bos_token_id": 128000, "eos_token_id": 128001,
}  # fmt: skip
_LLAMA_1: dict[str, Any] = {"vocab_size": 32000, "rms_norm_eps": 1e-5}
_CODE_LLAMA = _LLAMA_1 | rope(1e6) | {"max_position_embeddings": 16384}
TIED = {"tie_word_embeddings": True}
MISTRAL_24B = sizes(5120, 32768, 40, 32, 8) | {
    "vocab_size": 131072, "head_dim": 128, "max_position_embeddings": 32768,
    "sliding_window": None, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
}  # fmt: skip


def model(kind: str, source: str, parameters: int, *parts: dict[str, Any]) -> Architecture:
    """Return a language model whose config is in parts."""
    config = {key: value for part in parts for key, value in part.items()}
    return Architecture(kind, config, source, Published(parameters, "AutoModelForCausalLM"))


def _qwen2(
    size: str, parameters: int, vocabulary: int, dims: dict[str, Any], *, tied: bool
) -> Architecture:
    rest = {
        "vocab_size": vocabulary,
        "max_position_embeddings": 32768 if tied else 131072,
        "bos_token_id": 151643,
        "eos_token_id": 151643,
        "tie_word_embeddings": tied,
    }
    return model("qwen2", f"Qwen/Qwen2.5-{size}", parameters, dims, rope(1e6), rest)


def _qwen3(size: str, parameters: int, dims: dict[str, Any], *, tied: bool) -> Architecture:
    rest = {
        "vocab_size": 151936,
        "head_dim": 128,
        "max_position_embeddings": 40960,
        "bos_token_id": 151643,
        "eos_token_id": 151645,
        "tie_word_embeddings": tied,
    }
    return model("qwen3", f"Qwen/Qwen3-{size}", parameters, dims, rope(1e6), rest)


def _smollm2(size: str, parameters: int, theta: float, dims: dict[str, Any]) -> Architecture:
    rest = {"vocab_size": 49152, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
            "bos_token_id": 0, "eos_token_id": 0}  # fmt: skip
    source = f"HuggingFaceTB/SmolLM2-{size}"
    return model("llama", source, parameters, dims, rope(theta), rest, TIED)


DECODERS: dict[str, Architecture] = {
    "llama-7b": Architecture(
        "llama",
        _LLAMA_1 | sizes(4096, 11008, 32, 32)
        | {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6},
        "huggyllama/llama-7b",
        Published(6_738_415_616, "AutoModelForCausalLM"),
    ),
    "llama-2-7b": model(
        "llama", "meta-llama/Llama-2-7b-hf", 6_738_415_616,
        _LLAMA_1, sizes(4096, 11008, 32, 32), {"max_position_embeddings": 4096},
    ),
    "llama-2-13b": model(
        "llama", "meta-llama/Llama-2-13b-hf", 13_015_864_320,
        _LLAMA_1, sizes(5120, 13824, 40, 40), {"max_position_embeddings": 4096},
    ),
    "codellama-7b": model(
        "llama", "codellama/CodeLlama-7b-hf", 6_738_546_688,
        _CODE_LLAMA, sizes(4096, 11008, 32, 32), {"vocab_size": 32016},
    ),
    "codellama-13b": model(
        "llama", "codellama/CodeLlama-13b-hf", 13_016_028_160,
        _CODE_LLAMA, sizes(5120, 13824, 40, 40), {"vocab_size": 32016},
    ),
    "codellama-34b": model(
        "llama", "codellama/CodeLlama-34b-hf", 33_743_970_304,
        _CODE_LLAMA, sizes(8192, 22016, 48, 64, 8),
    ),
    "open-llama-3b-v2": model(
        "llama", "openlm-research/open_llama_3b_v2", 3_426_473_600,
        _LLAMA_1, sizes(3200, 8640, 26, 32),
        {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6},
    ),
    "yi-34b": model(
        "llama", "01-ai/Yi-34B", 34_388_917_248,
        sizes(7168, 20480, 60, 56, 8), rope(5e6),
        {"vocab_size": 64000, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5},
    ),
    "llama-2-70b": model(
        "llama", "meta-llama/Llama-2-70b-hf", 68_976_648_192,
        _LLAMA_1, sizes(8192, 28672, 80, 64, 8), {"max_position_embeddings": 4096},
    ),
    "tinyllama-1.1b": model(
        "llama", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", 1_100_048_384,
        _LLAMA_1, sizes(2048, 5632, 22, 32, 4), {"max_position_embeddings": 2048},
    ),
    "llama-3-8b": model(
        "llama", "meta-llama/Meta-Llama-3-8B", 8_030_261_248,
        _LLAMA_3, sizes(4096, 14336, 32, 32, 8), rope(500_000.0),
        {"max_position_embeddings": 8192},
    ),
    "llama-3.1-8b": model(
        "llama", "meta-llama/Llama-3.1-8B", 8_030_261_248,
        _LLAMA_3, sizes(4096, 14336, 32, 32, 8), llama3_rope(8.0),
    ),
    "llama-3.1-70b": model(
        "llama", "meta-llama/Llama-3.1-70B", 70_553_706_496,
        _LLAMA_3, sizes(8192, 28672, 80, 64, 8), llama3_rope(8.0),
    ),
    "llama-3.1-405b": model(
        "llama", "meta-llama/Llama-3.1-405B", 405_853_388_800,
        _LLAMA_3, sizes(16384, 53248, 126, 128, 8), llama3_rope(8.0),
    ),
    "llama-3.2-1b": model(
        "llama", "meta-llama/Llama-3.2-1B", 1_235_814_400,
        _LLAMA_3, sizes(2048, 8192, 16, 32, 8), {"head_dim": 64}, llama3_rope(32.0), TIED,
    ),
    "llama-3.2-3b": model(
        "llama", "meta-llama/Llama-3.2-3B", 3_212_749_824,
        _LLAMA_3, sizes(3072, 8192, 28, 24, 8), {"head_dim": 128}, llama3_rope(32.0), TIED,
    ),
    "orpheus-3b": Architecture(
        "llama", _LLAMA_3 | sizes(3072, 8192, 28, 24, 8) | llama3_rope(32.0) | TIED
        | {"vocab_size": 156940, "head_dim": 128},
        "canopylabs/orpheus-3b-0.1-ft",
        Published(3_782_986_752, "AutoModelForCausalLM", beyond=156940 * 3072),  # the head, too
    ),
    "qwen2.5-0.5b": _qwen2("0.5B", 494_032_768, 151936, sizes(896, 4864, 24, 14, 2), tied=True),
    "qwen2.5-1.5b": _qwen2("1.5B", 1_543_714_304, 151936, sizes(1536, 8960, 28, 12, 2), tied=True),
    "qwen2.5-3b": _qwen2("3B", 3_085_938_688, 151936, sizes(2048, 11008, 36, 16, 2), tied=True),
    "qwen2.5-7b": _qwen2("7B", 7_615_616_512, 152064, sizes(3584, 18944, 28, 28, 4), tied=False),
    "qwen2.5-14b": _qwen2("14B", 14_770_033_664, 152064, sizes(5120, 13824, 48, 40, 8), tied=False),
    "qwen2.5-32b": _qwen2("32B", 32_763_876_352, 152064, sizes(5120, 27648, 64, 40, 8), tied=False),
    "qwen2.5-72b": _qwen2("72B", 72_706_203_648, 152064, sizes(8192, 29568, 80, 64, 8), tied=False),
    "qwen3-0.6b": _qwen3("0.6B", 596_049_920, sizes(1024, 3072, 28, 16, 8), tied=True),
    "qwen3-1.7b": _qwen3("1.7B", 1_720_574_976, sizes(2048, 6144, 28, 16, 8), tied=True),
    "qwen3-4b": _qwen3("4B", 4_022_468_096, sizes(2560, 9728, 36, 32, 8), tied=True),
    "qwen3-8b": _qwen3("8B", 8_190_735_360, sizes(4096, 12288, 36, 32, 8), tied=False),
    "qwen3-14b": _qwen3("14B", 14_768_307_200, sizes(5120, 17408, 40, 40, 8), tied=False),
    "qwen3-32b": _qwen3("32B", 32_762_123_264, sizes(5120, 25600, 64, 64, 8), tied=False),
    "mistral-7b-v0.1": model(
        "mistral", "mistralai/Mistral-7B-v0.1", 7_241_732_096,
        sizes(4096, 14336, 32, 32, 8), rope(1e4),
        {"vocab_size": 32000, "max_position_embeddings": 32768, "sliding_window": 4096,
         "rms_norm_eps": 1e-5},
    ),
    "mistral-7b-v0.2": model(
        "mistral", "mistralai/Mistral-7B-Instruct-v0.2", 7_241_732_096,
        sizes(4096, 14336, 32, 32, 8), rope(1e6),
        {"vocab_size": 32000, "max_position_embeddings": 32768, "sliding_window": None,
         "rms_norm_eps": 1e-5},
    ),
    "mistral-7b-v0.3": model(
        "mistral", "mistralai/Mistral-7B-v0.3", 7_248_023_552,
        sizes(4096, 14336, 32, 32, 8), rope(1e6),
        {"vocab_size": 32768, "max_position_embeddings": 32768, "sliding_window": None,
         "rms_norm_eps": 1e-5},
    ),
    "mistral-nemo": model(
        "mistral", "mistralai/Mistral-Nemo-Base-2407", 12_247_782_400,
        sizes(5120, 14336, 40, 32, 8), rope(1e6),
        {"vocab_size": 131072, "head_dim": 128, "max_position_embeddings": 131072,
         "sliding_window": None, "rms_norm_eps": 1e-5},
    ),
    "ministral-8b": model(
        "mistral", "mistralai/Ministral-8B-Instruct-2410", 8_019_808_256,
        sizes(4096, 12288, 36, 32, 8), rope(1e8),
        {"vocab_size": 131072, "head_dim": 128, "max_position_embeddings": 32768,
         "sliding_window": 32768, "rms_norm_eps": 1e-5},
    ),
    "mistral-small-24b": model(
        "mistral", "mistralai/Mistral-Small-24B-Base-2501", 23_572_403_200, MISTRAL_24B, rope(1e8)
    ),
    "smollm2-135m": _smollm2("135M", 134_515_008, 1e5, sizes(576, 1536, 30, 9, 3)),
    "smollm2-360m": _smollm2("360M", 361_821_120, 1e5, sizes(960, 2560, 32, 15, 5)),
    "smollm2-1.7b": _smollm2("1.7B", 1_711_376_384, 130_000.0, sizes(2048, 8192, 24, 32)),
    "smollm3-3b": model(
        "smollm3", "HuggingFaceTB/SmolLM3-3B-Base", 3_075_098_624,
        sizes(2048, 11008, 36, 16, 4), rope(5e6),
        {"vocab_size": 128256, "max_position_embeddings": 65536, "bos_token_id": 128000,
         "eos_token_id": 128001, "pad_token_id": 128004}, TIED,
    ),
}  # fmt: skip
