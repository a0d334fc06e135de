"""Language models whose FFNs are mixtures of experts."""

from __future__ import annotations

from typing import Any

from harness.models.catalogue.decoders import model
from harness.models.catalogue.entry import Architecture, Published, rope, sizes

_MIXTRAL: dict[str, Any] = {
    "vocab_size": 32000, "num_local_experts": 8, "num_experts_per_tok": 2,
} | rope(1e6)  # fmt: skip
_GPT_OSS: dict[str, Any] = {
    "vocab_size": 201088, "hidden_size": 2880, "intermediate_size": 2880, "head_dim": 64,
    "num_attention_heads": 64, "num_key_value_heads": 8, "num_experts_per_tok": 4,
    "sliding_window": 128, "max_position_embeddings": 131072,
}  # fmt: skip


def _further(kind: str, source: str, parameters: int, beyond: int, **config: Any) -> Architecture:
    """Return a model beside whose weights lie others: what predicts further tokens, constants."""
    published = Published(parameters, "AutoModelForCausalLM", beyond=beyond)
    return Architecture(kind, config, source, published)


MIXTURES: dict[str, Architecture] = {
    "qwen3-30b-a3b": model(
        "qwen3_moe", "Qwen/Qwen3-30B-A3B", 30_532_122_624,
        sizes(2048, 6144, 48, 32, 4), rope(1e6),
        {"vocab_size": 151936, "head_dim": 128, "moe_intermediate_size": 768, "num_experts": 128,
         "num_experts_per_tok": 8, "norm_topk_prob": True, "max_position_embeddings": 40960,
         "bos_token_id": 151643, "eos_token_id": 151645},
    ),
    "qwen1.5-moe-a2.7b": model(
        "qwen2_moe", "Qwen/Qwen1.5-MoE-A2.7B", 14_315_784_192,
        sizes(2048, 5632, 24, 16), rope(1e6),
        {"vocab_size": 151936, "moe_intermediate_size": 1408, "num_experts": 60,
         "shared_expert_intermediate_size": 5632, "num_experts_per_tok": 4,
         "max_position_embeddings": 8192, "bos_token_id": 151643, "eos_token_id": 151643},
    ),
    "qwen3-next-80b-a3b": _further(
        "qwen3_next", "Qwen/Qwen3-Next-80B-A3B-Instruct", 81_324_862_720, 1_650_471_424
    ),
    "mixtral-8x7b": model(
        "mixtral", "mistralai/Mixtral-8x7B-v0.1", 46_702_792_704,
        sizes(4096, 14336, 32, 32, 8), _MIXTRAL, {"max_position_embeddings": 32768},
    ),
    "mixtral-8x22b": model(
        "mixtral", "mistral-community/Mixtral-8x22B-v0.1", 140_620_634_112,
        sizes(6144, 16384, 56, 48, 8), _MIXTRAL, {"max_position_embeddings": 65536},
    ),
    "gpt-oss-20b": model(
        "gpt_oss", "openai/gpt-oss-20b", 20_914_757_184,
        _GPT_OSS, {"num_hidden_layers": 24, "num_local_experts": 32},
    ),
    "gpt-oss-120b": model(
        "gpt_oss", "openai/gpt-oss-120b", 116_829_156_672,
        _GPT_OSS, {"num_hidden_layers": 36, "num_local_experts": 128},
    ),
    "deepseek-v2-lite": model(
        "deepseek_v2", "deepseek-ai/DeepSeek-V2-Lite", 15_706_484_224,
        sizes(2048, 10944, 27, 16),
        {"vocab_size": 102400, "moe_intermediate_size": 1408, "n_routed_experts": 64,
         "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1,
         "q_lora_rank": None, "kv_lora_rank": 512, "max_position_embeddings": 163840},
    ),
    "glm-4.5-air": _further(
        "glm4_moe", "zai-org/GLM-4.5-Air", 110_468_824_832, 3_616_579_328,
        vocab_size=151552, hidden_size=4096, intermediate_size=10944, moe_intermediate_size=1408,
        num_hidden_layers=46, num_attention_heads=96, num_key_value_heads=8, head_dim=128,
        n_routed_experts=128, n_shared_experts=1, num_experts_per_tok=8, attention_bias=True,
        use_qk_norm=False, first_k_dense_replace=1,
    ),
    "glm-4.7-flash": Architecture(
        "glm4_moe_lite", {}, "zai-org/GLM-4.7-Flash",
        Published(31_221_488_576, "AutoModelForCausalLM", "recalled", 1_278_097_600),
    ),
    "jamba-v0.1": Architecture(
        "jamba", {}, "ai21labs/Jamba-v0.1",
        Published(51_570_323_328, "AutoModelForCausalLM", "recalled"),
    ),
    "nemotron-3-nano-30b-a3b": model(
        "nemotron_h", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 31_577_937_344,
        {"vocab_size": 131072, "hidden_size": 2688, "num_hidden_layers": 52,
         "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
         "num_attention_heads": 32, "num_key_value_heads": 2, "head_dim": 128,
         "intermediate_size": 1856, "moe_intermediate_size": 1856,
         "moe_shared_expert_intermediate_size": 3712, "n_routed_experts": 128,
         "n_shared_experts": 1, "num_experts_per_tok": 6, "mamba_num_heads": 64,
         "mamba_head_dim": 64, "ssm_state_size": 128, "n_groups": 8, "conv_kernel": 4},
    ),
    "minimax-m2": _further("minimax_m2", "MiniMaxAI/MiniMax-M2", 228_689_764_864, 15_872),
}  # fmt: skip
