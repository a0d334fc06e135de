"""Any model type of transformers at a size where a step takes milliseconds.

A config's numbers are known by their names: depths become 2, widths 32, a vocabulary 2,000. What a
class asks beyond that (sums that must be equal, tables of stages) stands in `OWN`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

DEPTH, WIDTH, HEADS, VOCABULARY, POSITIONS = 2, 32, 2, 2000, 130
_DEPTHS = {
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers",
    "num_encoder_layers", "num_decoder_layers", "num_hidden_groups", "num_blocks",
    "num_self_attends_per_block", "conf_num_hidden_layers", "l_layers", "x_layers", "r_layers",
}  # fmt: skip
_WIDTHS = {
    "hidden_size", "d_model", "n_embd", "dim", "embedding_size", "emb_dim", "word_embed_proj_dim",
    "encoder_hidden_size", "decoder_hidden_size", "embedding_dim", "pooler_hidden_size", "d_embed",
    "input_embedding_size", "output_embedding_size", "attention_hidden_size", "pooler_output_size",
    "hidden_size_per_layer_input", "projection_dim", "lru_width", "backbone_hidden_size",
    "out_hidden_size", "audio_hidden_size",
}  # fmt: skip
_INNER = {
    "intermediate_size", "ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim", "d_ff", "n_inner",
    "inner_dim", "moe_intermediate_size", "ffn_hidden_size", "hidden_dim", "dim_ff",
    "shared_expert_intermediate_size", "expert_ffn_hidden_size", "feed_forward_size", "d_inner",
    "shared_intermediate_size", "dense_intermediate_size", "shared_experts_intermediate_size",
    "intermediate_size_mlp", "mlp_dim", "dff", "shared_moe_intermediate_size",
}  # fmt: skip
_HEADS = {
    "num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads",
    "decoder_attention_heads", "num_encoder_attention_heads", "num_decoder_attention_heads",
    "num_self_attention_heads", "num_cross_attention_heads", "conf_num_attention_heads",
    "swa_num_attention_heads", "linear_num_heads",
}  # fmt: skip
_KEY_HEADS = {
    "num_key_value_heads", "num_kv_heads", "swa_num_key_value_heads", "multi_query_group_num",
}  # fmt: skip
_HEAD_DIMS = {"head_dim", "d_kv", "dim_head", "attention_head_size", "swa_head_dim", "d_head",
              "linear_head_dim", "global_head_dim", "kv_channels"}  # fmt: skip
_POSITIONS = {
    "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_target_positions",
    "max_source_positions", "max_encoder_position_embeddings", "max_decoder_position_embeddings",
    "context_length", "model_max_length", "seq_length",
}  # fmt: skip
_EXPERTS = {"num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"}
_CHOSEN = {
    "num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "moe_top_k",
    "top_k_experts",
}  # fmt: skip
_OTHER = {
    "kv_lora_rank": 16, "q_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 16,
    "v_head_dim": 16, "qk_head_dim": 32, "n_group": 1, "topk_group": 1, "num_expert_group": 1,
    "sliding_window": 16, "image_size": 32, "patch_size": 8, "entity_vocab_size": 50,
    "entity_emb_size": 16, "mamba_d_state": 16, "mamba_n_heads": 4, "mamba_d_head": 16,
    "state_size": 16, "time_step_rank": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "linear_num_key_heads": 2, "linear_num_value_heads": 2, "index_head_dim": 16,
    "index_n_heads": 2, "index_topk": 8, "index_topk_freq": 1, "rotary_dim": 8, "block_size": 16,
    "vocab_size_per_layer_input": VOCABULARY, "num_nextn_predict_layers": 0, "chunk_size": 16,
}  # fmt: skip
# What the rules above cannot know, by model type.
_TWO_STAGES: dict[str, Any] = {
    "depths": [1, 1], "hidden_sizes": [16, 32], "num_stages": 2, "embedding_size": 16,
    "patch_size": 4, "out_features": None, "out_indices": None,
}  # fmt: skip
_WINDOWS: dict[str, Any] = {
    "depths": [2, 1], "embed_dim": 16, "num_heads": [1, 2], "num_layers": 2, "patch_size": 4,
    "window_size": 4, "out_features": None, "out_indices": None, "pretrained_window_sizes": [0, 0],
}  # fmt: skip
_FOUR_STAGES: dict[str, Any] = {
    "depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 32, 32], "num_attention_heads": [1, 1, 2, 2],
    "out_features": None, "out_indices": None,
}  # fmt: skip
_ONE_STAGE_NAMES: dict[str, Any] = {"out_features": None, "out_indices": None}
_ROPE = {"rope_type": "default", "rope_theta": 1e4}
OWN: dict[str, dict[str, Any]] = {
    # text
    "arcee": {"pad_token_id": 0},
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROPE}},
    "deepseek_v2": {"num_experts_per_tok": 2, "n_routed_experts": 4},
    "dory": {
        "n_input_layers": 2, "n_recurrent_layers": 2, "n_output_layers": 2, "num_hidden_layers": 6,
        "layer_types": ["sliding_attention", "mlp", "full_attention", "mlp", "full_attention",
                        "mlp"],
    },
    "dots1": {"num_experts_per_tok": 2, "n_routed_experts": 4, "n_shared_experts": 1},
    "esm": {"vocab_size": 33},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16},
    "layoutlmv3": {"coordinate_size": 4, "shape_size": 8, "visual_embed": False},
    "led": {"attention_window": [16, 16]},
    "lilt": {"hidden_size": 48},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "longcat_flash": {"zero_expert_num": 2, "moe_topk": 2},
    "longformer": {"attention_window": [16, 16]},
    "mamba2": {"num_heads": 4, "head_dim": 16, "n_groups": 2},
    "ministral": {"head_dim": 16},
    "mistral4": {"head_dim": 32},
    "nemotron": {"num_key_value_heads": 2},
    "reformer": {
        "axial_pos_shape": [4, 4], "axial_pos_embds_dim": [16, 16],
        "attn_layers": ["local", "lsh"],
    },
    "t5": {"decoder_start_token_id": 0},
    "xmod": {"default_language": "en_XX"},
    "switch_transformers": {"num_experts": 2},
    "zamba2": {
        "mamba_headdim": 8, "n_mamba_heads": 8, "hybrid_layer_ids": [1], "attention_head_dim": 32,
        "attention_hidden_size": 64,
    },
    # images
    "beit": _ONE_STAGE_NAMES,
    "bit": _TWO_STAGES | {"num_groups": 2},
    "convnext": _TWO_STAGES,
    "convnextv2": _TWO_STAGES,
    "cvt": {"embed_dim": [16, 16, 32], "num_heads": [1, 1, 2], "depth": [1, 2, 3]},
    "dinov2": _ONE_STAGE_NAMES,
    "dinov2_with_registers": _ONE_STAGE_NAMES,
    "donut-swin": _WINDOWS,
    "efficientnet": {"hidden_dim": 128, "width_coefficient": 0.1, "depth_coefficient": 0.1},
    "focalnet": _TWO_STAGES | {"embed_dim": 16, "focal_levels": [2, 2], "focal_windows": [3, 3]},
    "hiera": {
        "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1], "image_size": [64, 64],
        "out_features": None, "out_indices": None,
    },
    "levit": {
        "hidden_sizes": [32, 32, 64], "num_attention_heads": [2, 2, 2], "depths": [1, 1, 1],
        "patch_size": 16, "image_size": 64,
    },
    "mobilevit": {"patch_size": 2, "image_size": 64, "hidden_sizes": [16, 16, 32]},
    "mobilevitv2": {"patch_size": 2, "image_size": 64, "width_multiplier": 0.25},
    "poolformer": {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 32, 32]},
    "pvt": _FOUR_STAGES,
    "pvt_v2": _FOUR_STAGES,
    "regnet": _TWO_STAGES | {"groups_width": 8},
    "resnet": _TWO_STAGES,
    "segformer": _FOUR_STAGES,
    "swin": _WINDOWS,
    "swinv2": _WINDOWS,
}  # fmt: skip
# What takes no part here, and why.
NOT_HERE = {
    **dict.fromkeys(
        (
            "blt",
            "dbrx",
            "dots3_note",
            "musicgen",
            "musicgen_melody",
            "qwen4_exp",
            "qwen4_exp_text",
            "vibevoice_asr",
            "zamba",
        ),
        "transformers cannot build or run a config of its class at this size",
    ),
    **dict.fromkeys(("dinat", "gemma3n", "layoutlmv2", "timm_wrapper"), "needs another package"),
    **dict.fromkeys(
        ("git", "imagegpt", "lxmert", "shieldgemma2", "siglip2", "voxtral_realtime"),
        "takes inputs that no family of tasks makes",
    ),
    "gemma4_assistant": "a part of another model",
    "gemma4_unified_assistant": "a part of another model",
    "ibert": "quantises itself by the values of its activations",
    "seamless_m4t": "reads values of its text that the forecast does not know",
    "seamless_m4t_v2": "reads values of its text that the forecast does not know",
    "pp_lcnet": "its head returns no loss",
}

# Models of convolutions: LoRA says that their layers have no linear layer.
NO_LINEAR = {
    "bit", "efficientnet", "hgnet_v2", "mobilenet_v1", "mobilenet_v2", "mobilevitv2", "poolformer",
    "regnet", "resnet", "squeezebert", "textnet",
}  # fmt: skip


def tiny(model_type: str, auto_class: str) -> Any:
    """Return a tiny model with random weights, in training mode."""
    import transformers

    config = tiny_config(model_type)
    if getattr(config, "architectures", None) is None:
        config.architectures = []  # transformers looks through them
    return getattr(transformers, auto_class).from_config(config).train()


def tiny_config(model_type: str) -> Any:
    """Return the config of a tiny model of a type of transformers."""
    from transformers import CONFIG_MAPPING

    kind = CONFIG_MAPPING[model_type]
    return kind(**{**_shrunk(kind().to_dict()), **OWN.get(model_type, {})})


def _shrunk(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config's entries, smaller."""
    kept = {name: value for name, value in config.items() if not name.startswith("_")}
    for name in ("transformers_version", "dtype", "torch_dtype", "architectures",
                 "per_layer_config"):  # fmt: skip
        kept.pop(name, None)
    layers = next((config[n] for n in _DEPTHS if isinstance(config.get(n), int)), 0)
    lists = [n for n, v in kept.items() if isinstance(v, list) and 1 < len(v) == layers
             and not n.startswith("out_")]  # fmt: skip
    rows = zip(*(kept[name] for name in lists), strict=True)
    chosen = list(_different([tuple(map(str, row)) for row in rows]))
    for name, value in kept.items():
        if isinstance(value, dict):
            kept[name] = _shrunk(value) if "model_type" in value else value
        elif name in lists:
            kept[name] = [value[index] for index in chosen]
        elif isinstance(value, int) and not isinstance(value, bool):
            kept[name] = _number(name, value, config, max(DEPTH, len(chosen)))
        elif isinstance(value, list) and name.endswith("token_id"):
            kept[name] = [min(i, VOCABULARY - 1) for i in value]
        elif name == "pad_token_id" and value is None and "vocab_size" in config:
            kept[name] = 0
    return kept


def _different(rows: list[tuple[str, ...]]) -> Iterator[int]:
    """Yield the first of each kind of layer, or the first two."""
    first = {row: number for number, row in reversed(list(enumerate(rows)))}
    found = sorted(first.values())
    yield from found if len(found) >= DEPTH else range(min(DEPTH, len(rows)))


def _number(name: str, value: int, config: dict[str, Any], depth: int) -> int:
    many = next((config[n] for n in _HEADS if isinstance(config.get(n), int)), None)
    rules: list[tuple[set[str], int]] = [
        (_DEPTHS, depth), (_WIDTHS, WIDTH), (_INNER, 2 * WIDTH), (_HEADS, HEADS),
        (_KEY_HEADS, HEADS if value == many else 1), (_HEAD_DIMS, WIDTH // HEADS),
        (_POSITIONS, POSITIONS), (_EXPERTS, 4), (_CHOSEN, min(value, 2)),
    ]  # fmt: skip
    if value <= 0:
        return value
    if "vocab_size" in name and value > VOCABULARY:
        return VOCABULARY
    if name.endswith(("token_id", "token_index")):
        return min(value, VOCABULARY - 1)
    return next((new for names, new in rules if name in names), _OTHER.get(name, value))
