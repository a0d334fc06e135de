"""Models that see."""

from __future__ import annotations

from typing import Any

from harness.models.catalogue.entry import Architecture, Published, encoder


def _vit(source: str, parameters: int, dims: dict[str, Any]) -> Architecture:
    return Architecture("vit", dims, f"google/{source}", Published(parameters, "AutoModel"))


def _swin(source: str, parameters: int, embed: int, heads: list[int]) -> Architecture:
    options = {"embed_dim": embed, "depths": [2, 2, 18, 2], "num_heads": heads, "window_size": 7}
    return Architecture("swin", options, source, Published(parameters, "AutoModel"))


def _dinov2(size: str, parameters: int, hidden: int, layers: int, heads: int) -> Architecture:
    options = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
               "image_size": 518}  # fmt: skip
    published = Published(parameters, "AutoModel")
    return Architecture("dinov2", options, f"facebook/dinov2-{size}", published)


_SO400M: dict[str, Any] = {
    "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
    "num_attention_heads": 16,
}  # fmt: skip

IMAGES: dict[str, Architecture] = {
    "vit-base-patch16-224": _vit("vit-base-patch16-224", 86_389_248, encoder(768, 12, 12)),
    "vit-large-patch16-224": _vit("vit-large-patch16-224", 304_351_232, encoder(1024, 24, 16)),
    "swin-base-patch4-window7-224": _swin(
        "microsoft/swin-base-patch4-window7-224", 86_743_224, 128, [4, 8, 16, 32]
    ),
    "swin-large-patch4-window7-224": _swin(
        "microsoft/swin-large-patch4-window7-224", 194_995_476, 192, [6, 12, 24, 48]
    ),
    "dinov2-small": _dinov2("small", 22_056_576, 384, 12, 6),
    "dinov2-base": _dinov2("base", 86_580_480, 768, 12, 12),
    "dinov2-large": _dinov2("large", 304_368_640, 1024, 24, 16),
    "siglip-base-patch16-224": Architecture(
        "siglip", {}, "google/siglip-base-patch16-224", Published(203_155_970, "AutoModel")
    ),
    "siglip-so400m-patch14-384": Architecture(
        "siglip",
        {"text_config": _SO400M | {"projection_size": 1152},
         "vision_config": _SO400M | {"image_size": 384, "patch_size": 14}},
        "google/siglip-so400m-patch14-384",
        Published(877_960_498, "AutoModel"),
    ),
    "clip-vit-base-patch32": Architecture(
        "clip", {}, "openai/clip-vit-base-patch32", Published(151_277_313, "AutoModel")
    ),
    "clip-vit-large-patch14": Architecture(
        "clip",
        {"text_config": encoder(768, 12, 12) | {"projection_dim": 768},
         "vision_config": encoder(1024, 24, 16) | {"patch_size": 14, "projection_dim": 768},
         "projection_dim": 768},
        "openai/clip-vit-large-patch14",
        Published(427_616_513, "AutoModel"),
    ),
}  # fmt: skip
