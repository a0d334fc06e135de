"""Where each family of models keeps its layers, in the names of transformers 5.23."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

NamedSet = Literal["six", "qv", "attention", "ffn", "all-linear"]
# A named set of linear layers, or suffixes of module names inside the transformer layers.
Targets = NamedSet | tuple[str, ...]
# All layers, one half of them (upper: nearest the head), or layers start <= i < stop.
LayerRange = Literal["all", "upper-half", "lower-half"] | tuple[int, int]

TARGET_SETS: tuple[NamedSet, ...] = get_args(NamedSet)
HEADS = ("classifier", "score", "qa_outputs", "classification_head")


@dataclass(frozen=True)
class Architecture:
    """Names of a family's parts.

    Attributes:
        family: name that methods ask for.
        layer: pattern of the layers' names below the base model, in order of definition.
        inputs: pattern of the parameters below the base model that come before the first layer.
        attention: linear layers of attention by name inside a layer.
        ffn: linear layers of the feed-forward block by name inside a layer.
        qv: the query and value projections.
        six: the linear layers of the original transformer, where that is not attention + ffn.
        departures: what a named set is here that its name does not say, as `targets SET` goes on.
        fused: layers that are several in one, by their last name, with the names of the parts.
    """

    family: str
    layer: str
    inputs: str
    attention: tuple[str, ...]
    ffn: tuple[str, ...]
    qv: tuple[str, ...]
    six: tuple[str, ...] = ()
    departures: Mapping[str, str] = field(default_factory=dict)
    fused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def named_set(self, name: str) -> tuple[str, ...]:
        """Return the names inside a layer that `name`, one of TARGET_SETS, stands for."""
        sets = {
            "attention": self.attention,
            "ffn": self.ffn,
            "qv": self.qv,
            "six": self.six or self.attention + self.ffn,
            "all-linear": self.attention + self.ffn,
        }
        return sets[name]


def _inside(module: str, names: str) -> tuple[str, ...]:
    return tuple(f"{module}.{name}" for name in names.split())


_BERT = Architecture(
    "bert",
    layer=r"encoder\.layer\.\d+",
    inputs=r"embeddings\.",
    attention=_inside("attention", "self.query self.key self.value output.dense"),
    ffn=("intermediate.dense", "output.dense"),
    qv=_inside("attention.self", "query value"),
)
_ROBERTA = Architecture("roberta", _BERT.layer, _BERT.inputs, _BERT.attention, _BERT.ffn, _BERT.qv)
_DEBERTA = Architecture(
    "deberta",
    layer=_BERT.layer,
    # The table of relative positions and its LayerNorm feed every layer.
    inputs=r"embeddings\.|encoder\.rel_embeddings\.|encoder\.LayerNorm\.",
    attention=_inside("attention", "self.query_proj self.key_proj self.value_proj output.dense"),
    ffn=_BERT.ffn,
    qv=_inside("attention.self", "query_proj value_proj"),
)
_GPT2 = Architecture(
    "gpt2",
    layer=r"h\.\d+",
    inputs=r"wte\.|wpe\.",
    attention=("attn.c_attn", "attn.c_proj"),
    ffn=("mlp.c_fc", "mlp.c_proj"),
    # One Conv1D makes query, key and value. LoRA on all of it has as many parameters as on query
    # and value apart (4rh), but it is another model: it moves the keys too.
    qv=_inside("attn.c_attn", "query value"),
    departures={
        "qv": "is two thirds of attn.c_attn here, which makes query, key and value: it is taken "
        "apart for it",
        "six": "is four linear layers here: attn.c_attn is query, key and value in one",
    },
    fused={"c_attn": ("query", "key", "value")},
)
_LLAMA = Architecture(
    "llama",
    layer=r"layers\.\d+",
    inputs=r"embed_tokens\.",
    attention=_inside("self_attn", "q_proj k_proj v_proj o_proj"),
    ffn=_inside("mlp", "gate_proj up_proj down_proj"),
    qv=_inside("self_attn", "q_proj v_proj"),
    # The original transformer has no gate; with it the set is called all-linear.
    six=(*_inside("self_attn", "q_proj k_proj v_proj o_proj"), "mlp.up_proj", "mlp.down_proj"),
    departures={"six": "leaves out mlp.gate_proj here; all-linear has it"},
)
_BART = Architecture(
    "bart",
    layer=r"(encoder|decoder)\.layers\.\d+",
    inputs=r"shared\.|(encoder|decoder)\.(embed_\w+|layernorm_embedding)\.",
    attention=_inside("self_attn", "q_proj k_proj v_proj out_proj")
    + _inside("encoder_attn", "q_proj k_proj v_proj out_proj"),
    ffn=("fc1", "fc2"),
    qv=_inside("self_attn", "q_proj v_proj") + _inside("encoder_attn", "q_proj v_proj"),
    departures={
        "qv": "takes those of cross-attention, too: four in a decoder layer",
        "six": "takes cross-attention, too: ten in a decoder layer",
        "attention": "takes cross-attention, too",
    },
)
_VIT = Architecture(
    "vit",
    layer=r"layers\.\d+",
    inputs=r"embeddings\.",
    attention=_inside("attention", "q_proj k_proj v_proj o_proj"),
    ffn=_inside("mlp", "fc1 fc2"),
    qv=_inside("attention", "q_proj v_proj"),
)
_SWIN = Architecture(
    "swin",
    layer=r"encoder\.layers\.\d+\.blocks\.\d+",
    inputs=_VIT.inputs,
    attention=_VIT.attention,
    ffn=_VIT.ffn,
    qv=_VIT.qv,
)

# By `config.model_type`.
ARCHITECTURES: dict[str, Architecture] = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "deberta-v2": _DEBERTA,
    "gpt2": _GPT2,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "bart": _BART,
    "vit": _VIT,
    "swin": _SWIN,
}
