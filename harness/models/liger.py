"""What the package Liger has for a model type: read in its transformers/monkey_patch.py."""

from __future__ import annotations

from typing import NamedTuple

PACKAGE = "liger-kernel"
VERSION = "0.8.5"  # that was read, here and for the forecast's kernels


class Norm(NamedTuple):
    """How Liger computes the RMSNorm of a model type.

    Attributes:
        casting: what is computed in fp32: `llama`, the root alone; `gemma`, all of it.
        offset: added to the weight.
        in_place: the gradient of the input is written over that of the output.
    """

    casting: str = "llama"
    offset: float = 0.0
    in_place: bool = True


class Serves(NamedTuple):
    """What Liger has for a model type.

    Attributes:
        kernels: by their names in `train.liger_kernels`.
        norm: how it norms.
        fuses: by itself it fuses the loss with the head, rather than replace the loss alone.
        mixture: its experts have kernels of their own, which are not here.
    """

    kernels: frozenset[str]
    norm: Norm = Norm()
    fuses: bool = True
    mixture: bool = False


_NORMS = frozenset({"rms_norm", "cross_entropy"})
_USUAL, _TANH = _NORMS | {"swiglu", "rope"}, _NORMS | {"geglu", "rope"}
_APART = Norm(in_place=False)
_GEMMA = Norm("gemma", 1.0, in_place=False)
SERVED = {
    **dict.fromkeys(
        ("hunyuan_v1_dense", "llama", "ministral", "mistral", "mllama_text_model", "phi3", "qwen2",
         "qwen3", "smollm3"),
        Serves(_USUAL),
    ),
    "granite": Serves(_USUAL, fuses=False),
    **dict.fromkeys(("exaone4", "olmo2", "olmo3"), Serves(_USUAL, _APART)),
    "glm4": Serves(_NORMS | {"swiglu"}, _APART),
    "gemma": Serves(_TANH, Norm("gemma", 1.0)),
    **dict.fromkeys(("gemma2", "gemma3", "gemma3_text"), Serves(_TANH, _GEMMA)),
    **dict.fromkeys(
        ("gemma4", "gemma4_text"), Serves(_NORMS | {"geglu"}, Norm("gemma", in_place=False))
    ),
    "falcon_h1": Serves(_NORMS | {"rope"}),
    "qwen3_5_text": Serves(_NORMS | {"swiglu"}, _GEMMA),
    **dict.fromkeys(("mixtral", "qwen3_moe"), Serves(_NORMS | {"rope"}, mixture=True)),
    **dict.fromkeys(
        ("deepseek_v2", "deepseek_v3", "gpt_oss", "llama4_text"), Serves(_NORMS, mixture=True)
    ),
    **dict.fromkeys(("qwen3_5_moe_text", "qwen3_next"), Serves(_NORMS, _GEMMA, mixture=True)),
    "nemotron": Serves(frozenset({"cross_entropy"})),
}  # fmt: skip
