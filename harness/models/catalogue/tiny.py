"""Models of each family's structure at a size where a training step takes milliseconds."""

from __future__ import annotations

from typing import Any

from harness.models.catalogue.encoders import DEBERTA_V3
from harness.models.catalogue.entry import Architecture, encoder
from harness.models.catalogue.seq2seq import bart

_TINY: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
_TINY_TEXT = _TINY | {"vocab_size": 2000, "max_position_embeddings": 130}

TINY: dict[str, Architecture] = {
    "tiny-bert": Architecture("bert", _TINY_TEXT),
    "tiny-roberta": Architecture("roberta", _TINY_TEXT | {"type_vocab_size": 1}),
    "tiny-deberta-v2": Architecture(
        "deberta-v2", DEBERTA_V3 | _TINY_TEXT | {"pooler_hidden_size": 32, "position_buckets": 16}
    ),
    "tiny-gpt2": Architecture(
        "gpt2",
        {"n_embd": 32, "n_layer": 4, "n_head": 2, "vocab_size": 2000, "n_positions": 130}
        | {"bos_token_id": 1999, "eos_token_id": 1999},
    ),
    "tiny-llama": Architecture("llama", _TINY_TEXT | {"num_key_value_heads": 1}),
    "tiny-bart": Architecture(
        "bart",
        bart("", 32, 2, 2).config | {"vocab_size": 2000, "max_position_embeddings": 130},
    ),
    # Small enough to learn ten classes of 32 x 32 pixels from nothing on a CPU, in minutes.
    "small-vit": Architecture(
        "vit", encoder(96, 4, 4) | {"intermediate_size": 192, "image_size": 32, "patch_size": 4}
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
