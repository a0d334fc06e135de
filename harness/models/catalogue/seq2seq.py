"""Encoder-decoders, of text and of speech."""

from __future__ import annotations

from typing import Any

from harness.models.catalogue.entry import Architecture, Published


def bart(
    source: str, hidden: int, layers: int, heads: int, published: Published | None = None
) -> Architecture:
    """Return a BART with FFNs four times as wide, and its dropouts."""
    options: dict[str, Any] = {
        "d_model": hidden,
        "attention_dropout": 0.1,
        "activation_dropout": 0.1,
    }
    return Architecture("bart", options | _both(layers, heads, 4 * hidden), source, published)


def _both(layers: int, heads: int, wide: int) -> dict[str, Any]:
    """Return the sizes of encoder and decoder, which are the same."""
    return {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (("layers", layers), ("attention_heads", heads), ("ffn_dim", wide))
    }


def _t5(source: str, parameters: int, dims: tuple[int, int, int, int]) -> Architecture:
    hidden, wide, layers, heads = dims
    options: dict[str, Any] = {"d_model": hidden, "d_ff": wide, "num_layers": layers,
               "num_heads": heads, "num_decoder_layers": layers}  # fmt: skip
    if "flan" in source:
        options |= {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
    return Architecture("t5", options, source, Published(parameters, "AutoModelForSeq2SeqLM"))


def _whisper(size: str, parameters: int, dims: tuple[int, int, int], **rest: Any) -> Architecture:
    hidden, layers, heads = dims
    options = {"d_model": hidden, **_both(layers, heads, 4 * hidden), **rest}
    published = Published(parameters, "AutoModelForSpeechSeq2Seq")
    return Architecture("whisper", options, f"openai/whisper-{size}", published)


_V3 = {"num_mel_bins": 128, "vocab_size": 51866}

SEQ2SEQ: dict[str, Architecture] = {
    "bart-base": bart("facebook/bart-base", 768, 6, 12, Published(139_420_416, "AutoModel")),
    "bart-large": bart("facebook/bart-large", 1024, 12, 16, Published(406_291_456, "AutoModel")),
    "t5-small": _t5("google-t5/t5-small", 60_506_624, (512, 2048, 6, 8)),
    "t5-base": _t5("google-t5/t5-base", 222_903_552, (768, 3072, 12, 12)),
    "t5-large": _t5("google-t5/t5-large", 737_668_096, (1024, 4096, 24, 16)),
    "flan-t5-small": _t5("google/flan-t5-small", 76_961_152, (512, 1024, 8, 6)),
    "flan-t5-base": _t5("google/flan-t5-base", 247_577_856, (768, 2048, 12, 12)),
    "flan-t5-large": _t5("google/flan-t5-large", 783_150_080, (1024, 2816, 24, 16)),
    "flan-t5-xl": _t5("google/flan-t5-xl", 2_849_757_184, (2048, 5120, 24, 32)),
    "whisper-tiny": _whisper("tiny", 37_760_640, (384, 4, 6)),
    "whisper-base": _whisper("base", 72_593_920, (512, 6, 8)),
    "whisper-small": _whisper("small", 241_734_912, (768, 12, 12)),
    "whisper-medium": _whisper("medium", 763_857_920, (1024, 24, 16)),
    "whisper-large-v3": _whisper("large-v3", 1_543_490_560, (1280, 32, 20), **_V3),
    "whisper-large-v3-turbo": _whisper(
        "large-v3-turbo", 808_878_080, (1280, 32, 20), decoder_layers=4, **_V3
    ),
}
