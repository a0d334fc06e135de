"""What parts of models are called: the few names that structure alone does not give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Any, Literal, get_args

NamedSet = Literal["six", "qv", "attention", "ffn", "all-linear"]
# A named set of linear layers, or suffixes of module names inside the transformer layers.
Targets = NamedSet | tuple[str, ...]
# All layers, one half of them (upper: nearest the head), or layers start <= i < stop.
LayerRange = Literal["all", "upper-half", "lower-half"] | tuple[int, int]

TARGET_SETS: tuple[NamedSet, ...] = get_args(NamedSet)
# What classes with a head and no base model inside (T5 for questions, CLIP for images) call it.
HEADS = ("classifier", "score", "qa_outputs", "classification_head")

# What the named sets are on any model.
SETS: Mapping[NamedSet, str] = {
    "six": "linear layers of the original transformer: query, key, value, output and feed-forward "
    "without gates",
    "qv": "query and value projections",
    "attention": "linear layers of attention, or of what mixes tokens in its place",
    "ffn": "all other linear layers of a layer",
    "all-linear": "all linear layers of the layers",
}

# What papers call a model type, where that is another name; and who shares its structure.
FAMILIES = {"deberta-v2": "deberta", "mistral": "llama", "qwen2": "llama"}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What models call the projections of attention, by the last part of their names.
PROJECTIONS: Mapping[str, frozenset[str]] = {
    "query": _names(
        "q_proj query query_proj q q_lin q_head linear_q to_q Wq project_q to_query "
        "projection_query"
    ),
    "key": _names(
        "k_proj key key_proj k k_lin k_head linear_k to_k Wk project_k to_key projection_key"
    ),
    "value": _names(
        "v_proj value value_proj v v_lin v_head linear_v to_v Wv project_v to_value "
        "projection_value"
    ),
    "output": _names(
        "o_proj out_proj dense out_lin c_proj o Wo proj linear_out to_out post_proj output "
        "attention_out"
    ),
}
# Gates and routers of feed-forward blocks: the original transformer has none.
GATES = _names(
    "gate_proj wi_0 w1 gate router shared_expert_gate proj_up_gate per_layer_input_gate "
    "per_layer_projection"
)
# Projections that are query, key and value in one.
FUSED = _names("c_attn qkv_proj query_key_value Wqkv qkv in_proj att_proj")


@dataclass(frozen=True)
class Layout:
    """How the outputs of one projection are query, key and value.

    Attributes:
        groups: how often query, key and value follow each other.
        units: what each of them has of the outputs of a group, in units of equal width.
    """

    groups: int
    units: tuple[int, int, int]
    names: tuple[str, str, str] = ("query", "key", "value")


@dataclass(frozen=True)
class Parts:
    """Where a model keeps its parts, as a suite says it; what is not said is found by structure.

    Attributes:
        layers: pattern that the full names of the transformer layers match, whole.
        head: names of modules, at whatever depth: the task head.
        pooler: the same of what stands between the last layer and the head.
        inputs: the same of what comes before the first layer.
        attention: ends of the names of attention's linear layers inside a layer; all others are
            the feed-forward block's.
        qv: the same of what `targets: qv` is.
        six: the same of what `targets: six` is.
    """

    layers: str | None = None
    head: tuple[str, ...] | None = None
    pooler: tuple[str, ...] | None = None
    inputs: tuple[str, ...] | None = None
    attention: tuple[str, ...] | None = None
    qv: tuple[str, ...] | None = None
    six: tuple[str, ...] | None = None


def layout_of(config: Any, name: str) -> Layout | None:
    """Return how a fused projection of a model of this config is laid out; None: not known here.

    Read in the models' own code (transformers 5.24), where they split what it puts out.

    Args:
        config: of the text model that holds the projection.
        name: the last part of the projection's name.
    """
    heads: int = getattr(config, "num_attention_heads", getattr(config, "n_heads", 1))
    shared: int = getattr(config, "num_key_value_heads", None) or heads
    side_by_side = Layout(1, _smallest(heads, shared))
    by_head = Layout(heads, (1, 1, 1))
    match getattr(config, "model_type", ""), name:
        case "gpt2" | "openai-gpt" | "imagegpt" | "decision_transformer", "c_attn":
            return Layout(1, (1, 1, 1))
        case "phi3" | "phi4_multimodal", "qkv_proj":
            return side_by_side
        case "mpt" | "modernbert", "Wqkv":
            return Layout(1, (1, 1, 1))
        case "gpt_neox" | "gpt_neox_japanese" | "bloom" | "persimmon", "query_key_value":
            return by_head
        case "deberta", "in_proj":
            return by_head
        case "gpt_bigcode", "c_attn":
            return Layout(1, (heads, 1, 1)) if config.multi_query else by_head
        case "falcon", "query_key_value":
            if config.new_decoder_architecture:
                return Layout(config.num_kv_heads, (heads // config.num_kv_heads, 1, 1))
            return Layout(1, (heads, 1, 1)) if config.multi_query else by_head
    return None


def _smallest(heads: int, shared: int) -> tuple[int, int, int]:
    unit = gcd(heads, shared)
    return heads // unit, shared // unit, shared // unit
