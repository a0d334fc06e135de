"""Every type of the installed peft, with options that fit tiny models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Options without which a type has none, or too large a size for a model this small.
SMALL: dict[str, dict[str, Any]] = {
    "ADALORA": {"tfinal": 1},
    "ADAPTION_PROMPT": {"adapter_len": 4, "adapter_layers": 1},
    "BOFT": {"boft_block_size": 4},
    "C3A": {"block_size": 16},
    "CARTRIDGE": {"num_virtual_tokens": 4},
    "CPT": {
        "cpt_token_ids": [1, 2, 3, 4],
        "cpt_mask": [1, 1, 1, 1],
        "cpt_tokens_type_mask": [1, 2, 3, 4],
    },
    "FOURIERFT": {"n_frequency": 20},
    "HRA": {"r": 4},
    "LN_TUNING": {"target_modules": ["LayerNorm"]},
    "MISS": {"r": 8},
    "OFT": {"r": 0, "oft_block_size": 16},
    "OSF": {"target_modules": "six"},
    "PREFIX_TUNING": {"num_virtual_tokens": 4},
    "PROMPT_TUNING": {"num_virtual_tokens": 4},
    "P_TUNING": {"num_virtual_tokens": 4, "encoder_hidden_size": 16},
    "PSOFT": {"r": 8},
    "PVERA": {"r": 8},
    "RANDLORA": {"r": 4},
    "ROAD": {"group_size": 16},
    "SHIRA": {"r": 4},
    "TRAINABLE_TOKENS": {"token_indices": [5, 6]},
    "VBLORA": {"vector_length": 16, "num_vectors": 8},
    "VERA": {"r": 8},
    "WAVEFT": {"n_frequency": 20},
}
# What peft offers for decoders only.
DECODERS_ONLY = {"ADAPTION_PROMPT", "CPT", "SHADOW"}


def all_types() -> Iterator[str]:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    yield from sorted(kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING)
