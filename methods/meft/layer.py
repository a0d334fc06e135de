"""What MEFT couples: a small adapter, and the two blocks of a transformer layer, per family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.bottleneck.layer import Bottleneck

if TYPE_CHECKING:
    from methods.bottleneck.options import Activation

Arguments = Mapping[str, Any]


class MeftAdapters(nn.Module):
    """The adapters of one layer, without a residual of their own.

    D and U start N(0, 0.02^2) and the biases at 0 (mefts, scripts/bert_glue.sh): what they put out
    is small at first, but not 0.

    Args:
        width: h.
        size: d.
        activation: phi.
        dropout: probability, on what phi puts out.
        device: of the tensors.

    Attributes:
        f: inside F, or F itself.
        g: the same of G.
    """

    def __init__(
        self, width: int, size: int, activation: Activation, dropout: float, device: torch.device
    ) -> None:
        super().__init__()
        self.f, self.g = (
            Bottleneck(width, size, activation, "bert", device, dropout) for _ in range(2)
        )


@dataclass(frozen=True)
class Blocks:
    """The two halves of a family's layer, as its own forward pass runs them one after the other.

    Attributes:
        attention: (layer, x, arguments, adapter) -> hidden state behind the attention block, its
            residual and its LayerNorm. The adapter, if any, takes and joins what the output
            projection puts out, behind its dropout: z + adapter(z) (mefts, RevBertSelfOutput).
        mlp: (layer, a, adapter) -> the layer's output. The adapter, if any, is parallel to the
            feed-forward block: it has the same input, and is added before the residual's
            LayerNorm.
        returns_tuple: the layer returns (hidden state, attention weights).
    """

    attention: Callable[[Any, Tensor, Arguments, Bottleneck | None], Tensor]
    mlp: Callable[[Any, Tensor, Bottleneck | None], Tensor]
    returns_tuple: bool = False


def _adapted(z: Tensor, adapter: Bottleneck | None) -> Tensor:
    return z if adapter is None else z + adapter(z)


def _bert_attention(
    layer: Any, x: Tensor, arguments: Arguments, adapter: Bottleneck | None
) -> Tensor:
    block = layer.attention
    z = block.output.dropout(block.output.dense(block.self(x, **arguments)[0]))
    out: Tensor = block.output.LayerNorm(_adapted(z, adapter) + x)
    return out


def _bert_mlp(layer: Any, a: Tensor, adapter: Bottleneck | None) -> Tensor:
    # What reaches the LayerNorm is the sum of the block's output and its second argument.
    out: Tensor = layer.output(layer.intermediate(a), _adapted(a, adapter))
    return out


def _gpt2_attention(
    layer: Any, x: Tensor, arguments: Arguments, adapter: Bottleneck | None
) -> Tensor:
    return _adapted(layer.attn(layer.ln_1(x), **arguments)[0], adapter) + x


def _gpt2_mlp(layer: Any, a: Tensor, adapter: Bottleneck | None) -> Tensor:
    return a + _parallel(layer.mlp, layer.ln_2(a), adapter)


def _llama_attention(
    layer: Any, x: Tensor, arguments: Arguments, adapter: Bottleneck | None
) -> Tensor:
    return x + _adapted(layer.self_attn(layer.input_layernorm(x), **arguments)[0], adapter)


def _llama_mlp(layer: Any, a: Tensor, adapter: Bottleneck | None) -> Tensor:
    return a + _parallel(layer.mlp, layer.post_attention_layernorm(a), adapter)


def _bart_attention(
    layer: Any, x: Tensor, arguments: Arguments, adapter: Bottleneck | None
) -> Tensor:
    z = functional.dropout(layer.self_attn(x, **arguments)[0], layer.dropout, layer.training)
    out: Tensor = layer.self_attn_layer_norm(x + _adapted(z, adapter))
    return out


def _bart_mlp(layer: Any, a: Tensor, adapter: Bottleneck | None) -> Tensor:
    def feed_forward(x: Tensor) -> Tensor:
        hidden = layer.activation_fn(layer.fc1(x))
        hidden = functional.dropout(hidden, layer.activation_dropout, layer.training)
        return functional.dropout(layer.fc2(hidden), layer.dropout, layer.training)

    out: Tensor = layer.final_layer_norm(a + _parallel(feed_forward, a, adapter))
    return out


def _parallel(block: Callable[[Tensor], Tensor], x: Tensor, adapter: Bottleneck | None) -> Tensor:
    return block(x) if adapter is None else block(x) + adapter(x)


# By `surgery.family`.
BLOCKS = {
    "bert": Blocks(_bert_attention, _bert_mlp),
    "roberta": Blocks(_bert_attention, _bert_mlp),
    "deberta": Blocks(_bert_attention, _bert_mlp, returns_tuple=True),
    "gpt2": Blocks(_gpt2_attention, _gpt2_mlp),
    "llama": Blocks(_llama_attention, _llama_mlp),
    "bart": Blocks(_bart_attention, _bart_mlp),
}
