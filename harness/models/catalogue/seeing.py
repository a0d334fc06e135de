"""Language models that see: a tower of vision in front of a decoder."""

from __future__ import annotations

from typing import Any

from harness.models.catalogue.decoders import MISTRAL_24B, TIED
from harness.models.catalogue.entry import Architecture, Published, rope, sizes

_PIXTRAL: dict[str, Any] = {
    "model_type": "pixtral", "hidden_size": 1024, "intermediate_size": 4096, "head_dim": 64,
    "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 1540, "patch_size": 14,
}  # fmt: skip
_UNTIED = {"tie_word_embeddings": False}
_QWEN2_7B = sizes(3584, 18944, 28, 28, 4) | _UNTIED | {"vocab_size": 152064}


def seeing(
    kind: str, source: str, parameters: int, text: dict[str, Any], vision: dict[str, Any],
    **rest: Any,
) -> Architecture:  # fmt: skip
    """Return a model of both parts."""
    config = {"text_config": text, "vision_config": vision, **rest}
    return Architecture(kind, config, source, Published(parameters, "AutoModelForImageTextToText"))


def _gemma3(
    size: str, parameters: int, dims: dict[str, Any], head: int = 256, **more: Any
) -> Architecture:
    positions = {
        "sliding_attention": rope(1e4)["rope_parameters"],
        "full_attention": rope(1e6, rope_type="linear", factor=8.0)["rope_parameters"],
    }
    text = dims | {"head_dim": head, "vocab_size": 262208, "sliding_window": 1024,
                   "rope_parameters": positions, **more}  # fmt: skip
    sight = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
             "num_attention_heads": 16, "image_size": 896, "patch_size": 14,
             "vision_use_head": False}  # fmt: skip
    source = f"google/gemma-3-{size}-pt"
    return seeing("gemma3", source, parameters, text, sight, mm_tokens_per_image=256)


def _qwen3_5(
    size: str, parameters: int, beyond: int, dims: dict[str, Any], sight: tuple[int, int, int],
    *, tied: bool = False,
) -> Architecture:  # fmt: skip
    """Return one of Qwen3.5, whose every fourth layer attends; `sight`: depth, width, FFN."""
    depth, hidden, wide = sight
    text = {"vocab_size": 248320, "head_dim": 256, "linear_num_key_heads": 16,
            "tie_word_embeddings": tied} | dims  # fmt: skip
    vision = {"depth": depth, "hidden_size": hidden, "intermediate_size": wide, "num_heads": 16,
              "out_hidden_size": dims["hidden_size"]}  # fmt: skip
    kind = "qwen3_5_moe" if "num_experts" in dims else "qwen3_5"
    config = {"text_config": text, "vision_config": vision, "tie_word_embeddings": tied}
    published = Published(parameters, "AutoModelForImageTextToText", beyond=beyond)
    return Architecture(kind, config, f"Qwen/Qwen3.5-{size}", published)


def _experts(hidden: int, layers: int, heads: int, values: int, wide: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": 2, "linear_num_value_heads": values, "num_experts": 256,
        "num_experts_per_tok": 8, "moe_intermediate_size": wide,
        "shared_expert_intermediate_size": wide,
    }  # fmt: skip


def _mllama(size: str, parameters: int, **text: Any) -> Architecture:
    source = f"meta-llama/Llama-3.2-{size}-Vision"
    return seeing("mllama", source, parameters, text, {"image_size": 560})


def _gemma4(
    size: str, parameters: int, beyond: int, kind: str = "gemma4", **text: Any
) -> Architecture:
    """Return one of Gemma 4, whose layers are scaled by constants beside its weights."""
    text |= {"hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0, "head_dim": 256,
             "global_head_dim": 512, "attention_k_eq_v": True, "sliding_window": 1024}  # fmt: skip
    sight = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
             "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 72,
             "standardize": True}  # fmt: skip
    published = Published(parameters, "AutoModelForImageTextToText", beyond=beyond)
    senses = (
        {"vision_config": sight} if kind == "gemma4" else {"vision_config": {}, "audio_config": {}}
    )
    config = {"text_config": text, **senses}
    return Architecture(kind, config, f"google/gemma-4-{size}", published)


_DEFAULT_SENSES: dict[str, Any] = {"vision_config": {}, "audio_config": {}}
_SMALL, _LARGE = (24, 1024, 4096), (27, 1152, 4304)

SEEING: dict[str, Architecture] = {
    "gemma-3-4b": _gemma3("4b", 4_300_079_472, sizes(2560, 10240, 34, 8, 4)),
    "gemma-3-12b": _gemma3("12b", 12_187_325_040, sizes(3840, 15360, 48, 16, 8)),
    "gemma-3-27b": _gemma3(
        "27b", 27_432_406_640, sizes(5376, 21504, 62, 32, 16), 128, query_pre_attn_scalar=168
    ),
    "gemma-4-12b": _gemma4(
        "12B", 11_959_730_224, 48, "gemma4_unified", hidden_size=3840, intermediate_size=15360,
        num_hidden_layers=48, num_attention_heads=16, num_key_value_heads=8,
        num_global_key_value_heads=1,
    ),
    "gemma-4-26b-a4b": _gemma4(
        "26B-A4B", 25_805_936_206, 2_334, hidden_size=2816, intermediate_size=2112,
        moe_intermediate_size=704, num_hidden_layers=30, num_attention_heads=16,
        num_key_value_heads=8, num_global_key_value_heads=2, num_experts=128, top_k_experts=8,
        enable_moe_block=True,
    ),
    "gemma-4-31b": _gemma4(
        "31B", 31_273_088_876, 2_364, hidden_size=5376, intermediate_size=21504,
        num_hidden_layers=60, num_attention_heads=32, num_key_value_heads=16,
        num_global_key_value_heads=4,
    ),
    "qwen3.5-4b": _qwen3_5(
        "4B", 4_659_865_088, 120_599_552,
        sizes(2560, 9216, 32, 16, 4) | {"linear_num_value_heads": 32}, _SMALL, tied=True,
    ),
    "qwen3.5-9b": _qwen3_5(
        "9B", 9_653_104_368, 243_290_624,
        sizes(4096, 12288, 32, 16, 4) | {"linear_num_value_heads": 32}, _LARGE,
    ),
    "qwen3.5-27b": _qwen3_5(
        "27B", 27_781_427_952, 424_699_392,
        sizes(5120, 17408, 64, 24, 4) | {"linear_num_value_heads": 48}, _LARGE,
    ),
    "qwen3.5-35b-a3b": _qwen3_5(
        "35B-A3B", 35_951_822_704, 844_640_768, _experts(2048, 40, 16, 32, 512), _LARGE
    ),
    "qwen3.5-122b-a10b": _qwen3_5(
        "122B-A10B", 125_086_497_008, 2_523_679_232, _experts(3072, 48, 32, 64, 1024), _LARGE
    ),
    "qwen2-vl-7b": seeing(
        "qwen2_vl", "Qwen/Qwen2-VL-7B-Instruct", 8_291_375_616, _QWEN2_7B,
        {"depth": 32, "embed_dim": 1280, "hidden_size": 3584, "num_heads": 16}, **_UNTIED,
    ),
    "qwen2.5-vl-7b": seeing(
        "qwen2_5_vl", "Qwen/Qwen2.5-VL-7B-Instruct", 8_292_166_656, _QWEN2_7B,
        {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584,
         "num_heads": 16}, **_UNTIED,
    ),
    "qwen3-vl-4b": seeing(
        "qwen3_vl", "Qwen/Qwen3-VL-4B-Instruct", 4_437_815_808,
        sizes(2560, 9728, 36, 32, 8) | TIED | {"head_dim": 128, "vocab_size": 151936},
        {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16,
         "out_hidden_size": 2560, "deepstack_visual_indexes": [5, 11, 17]}, **TIED,
    ),
    "llama-3.2-11b-vision": _mllama("11B", 10_670_220_835),
    "llama-3.2-90b-vision": _mllama(
        "90B", 88_593_355_323, **sizes(8192, 28672, 100, 64, 8),
        cross_attention_layers=list(range(3, 100, 5)),
    ),
    "mistral-small-3.1-24b": seeing(
        "mistral3", "mistralai/Mistral-Small-3.1-24B-Instruct-2503", 24_011_361_280,
        MISTRAL_24B | {"model_type": "mistral"}, _PIXTRAL, **_UNTIED,
    ),
    "ministral-3-3b": seeing(
        "mistral3", "mistralai/Ministral-3-3B-Instruct-2512", 3_849_090_048,
        sizes(3072, 9216, 26, 32, 8) | TIED
        | {"model_type": "ministral3", "head_dim": 128, "vocab_size": 131072}, _PIXTRAL, **TIED,
    ),
    "llava-1.5-7b": seeing(
        "llava", "llava-hf/llava-1.5-7b-hf", 7_063_427_072,
        sizes(4096, 11008, 32, 32) | _UNTIED
        | {"model_type": "llama", "vocab_size": 32064, "max_position_embeddings": 4096},
        {"model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096,
         "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 336, "patch_size": 14,
         "projection_dim": 768}, **_UNTIED,
    ),
    "pixtral-12b": Architecture(
        "llava",
        {"text_config": sizes(5120, 14336, 40, 32, 8) | _UNTIED
         | {"model_type": "mistral", "head_dim": 128, "vocab_size": 131072, "sliding_window": None},
         "vision_config": _PIXTRAL | {"image_size": 1024, "patch_size": 16},
         "vision_feature_layer": -1, **_UNTIED},
        "mistral-community/pixtral-12b",
        Published(12_682_739_712, "AutoModelForImageTextToText", "recalled"),
    ),
    "smolvlm2-2.2b": seeing(
        "smolvlm", "HuggingFaceTB/SmolVLM2-2.2B-Instruct", 2_246_784_880,
        sizes(2048, 8192, 24, 32) | _UNTIED
        | {"model_type": "llama", "vocab_size": 49280, "pad_token_id": 2},
        {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
         "num_attention_heads": 16, "image_size": 384, "patch_size": 14},
        scale_factor=3, pad_token_id=2, **_UNTIED,
    ),
    "internvl3.5-8b": Architecture(
        "internvl",
        {"text_config": sizes(4096, 12288, 36, 32, 8) | _UNTIED
         | {"model_type": "qwen3", "head_dim": 128, "vocab_size": 151936},
         "vision_config": {"hidden_size": 1024, "intermediate_size": 4096,
                           "num_hidden_layers": 24, "num_attention_heads": 16,
                           "image_size": [448, 448], "patch_size": [14, 14],
                           "attention_bias": True, "use_qk_norm": False}, **_UNTIED},
        "OpenGVLab/InternVL3_5-8B-HF",
        Published(8_528_318_464, "AutoModelForImageTextToText", "recalled"),
    ),
    "glm-4.6v-flash": Architecture(
        "glm46v", {}, "zai-org/GLM-4.6V-Flash",
        Published(10_292_777_472, "AutoModelForImageTextToText", "recalled"),
    ),
    "muse-glimmer-30b": Architecture(
        "muse_glimmer", {}, "meta-models/Muse-Glimmer-30B",
        Published(29_776_626_688, "AutoModelForImageTextToText"),
    ),
}  # fmt: skip
