"""What one architecture of the catalogue is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

# The auto class that builds what was counted: the model alone, or with its language model's head.
Counted = Literal["AutoModel", "AutoModelForCausalLM", "AutoModelForMaskedLM",
                  "AutoModelForSeq2SeqLM", "AutoModelForSpeechSeq2Seq",
                  "AutoModelForImageTextToText"]  # fmt: skip


class Published(NamedTuple):
    """A published number of parameters, of which a shared tensor counts once.

    Attributes:
        parameters: the exact number.
        of: the class that it is of.
        found: "stored": written down in public repositories, where it was read (most often as the
            hub's own sum over the weights' headers); "recalled": nowhere that could be read here.
        beyond: how many of them the class does not build: layers that predict further tokens, and
            constants beside the weights.
    """

    parameters: int
    of: Counted
    found: Literal["stored", "recalled"] = "stored"
    beyond: int = 0


@dataclass(frozen=True)
class Architecture:
    """One entry.

    Attributes:
        model_type: key of transformers' CONFIG_MAPPING.
        config: keyword arguments of the config class.
        source: hub id whose config.json this is; empty for those made up here.
        published: what its source, or who measured it, says of its size; None: not looked up.
        differs: where the values are not those of the config.json, and why no tensor does.
    """

    model_type: str
    config: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    published: Published | None = None
    differs: str = ""


def rope(theta: float, **more: Any) -> dict[str, Any]:
    """Return rotary positions in transformers' words."""
    return {"rope_parameters": {"rope_type": "default", "rope_theta": theta, **more}}


def llama3_rope(factor: float) -> dict[str, Any]:
    """Return the rotary positions of Llama 3.1 and later."""
    return rope(
        500_000.0, rope_type="llama3", factor=factor, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=8192,
    )  # fmt: skip


def sizes(hidden: int, wide: int, layers: int, heads: int, kv_heads: int = 0) -> dict[str, Any]:
    """Return the sizes of a decoder: its width, the FFN's, layers, heads of queries and of keys."""
    return {
        "hidden_size": hidden,
        "intermediate_size": wide,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads or heads,
    }


def encoder(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    """Return the sizes of an encoder whose FFN is four times as wide."""
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
    }
