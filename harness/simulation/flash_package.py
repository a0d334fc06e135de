"""The package flash-attn on tensors without values: what it makes, keeps and takes for itself.

transformers asks for its functions by name and gets these. Tensors are (B, L, H, D); of padded
batches the tokens alone, (tokens, H, D). Read in flash-attn 2.8 (flash_attn_interface.py,
csrc/flash_attn/flash_api.cpp):

| part              | what it makes                                                               |
|-------------------|-----------------------------------------------------------------------------|
| forward           | heads padded to a multiple of 8; the output; fp32 sums, one per row         |
| kept              | query, key and value (heads padded), output, sums, ends of sequences        |
| backward          | their gradients; fp32 dq and row sums, dk and dv per query head if grouped: |
|                   | as of torch's own kernel, which is this one (scratch.py)                    |
| with padding      | queries, keys and values are gathered and the output is scattered           |
|                   | (transformers); the fp32 tensors have 128 rows more for each sequence       |
| packed            | the fp32 tensors, too                                                       |

How many tokens are padding only values tell: **all are counted as tokens**, so that batches of very
different lengths come out too large.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional

from harness.errors import UserError
from harness.simulation.attention import HALF
from harness.simulation.kernels.sizes import up
from harness.simulation.target import Target

MOST = 256  # the largest size of heads
ROWS = 128  # of a block, to which backward rounds the rows of its fp32 tensors
_ATEN = torch.ops.aten


@contextmanager
def flash_package(target: Target) -> Iterator[None]:
    """Give transformers these functions for those of the package, whether it is installed or not.

    Raises:
        UserError: the target is none that the package has kernels for.
    """
    from transformers import modeling_flash_attention_utils as utils
    from transformers import modeling_utils

    if target.kind == "cpu" or target.capability < (8, 0):
        raise UserError(
            f"train.attention = flash_attention_2: flash-attn has no kernels for "
            f"{target.in_words}; it needs capability 8.0"
        )
    functions = (_attend, _attend_unpadded, None, utils._pad_input, utils._unpad_input)
    replaced: list[tuple[Any, str, Any]] = [
        (modeling_utils.PreTrainedModel, "_flash_attn_import_error", lambda *_, **__: None),
        (modeling_utils, "is_kernels_available", lambda: False),
        (utils, "_lazy_imports", lambda *_, **__: functions),
        (utils, "_loaded_implementation", None),
        # Falcon, GPT-Neo and Bark have it only where the package was there when they were imported.
        (builtins, "_flash_attention_forward", utils._flash_attention_forward),
    ]
    with ExitStack() as stack:
        for owner, name, new in replaced:
            stack.enter_context(mock.patch.object(owner, name, new, create=owner is builtins))
        yield


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    deterministic: bool = False,
) -> Tensor:
    """Stand for `flash_attn_func`."""
    return _padded_heads(q, k, v, dropout_p, causal, 0, None)


def _attend_unpadded(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    deterministic: bool = False,
) -> Tensor:
    """Stand for `flash_attn_varlen_func`."""
    sequences = cu_seqlens_q.shape[0] - 1
    # All as long as one another, or where that does not come out, as one.
    alike = sequences if len(q) % sequences == 0 else 1
    queries, keys, values = (t.view(alike, -1, *t.shape[1:]) for t in (q, k, v))
    rows = len(q) + sequences * ROWS - alike * up(len(q) // alike, ROWS)
    ends = (cu_seqlens_q, cu_seqlens_k)
    return _padded_heads(queries, keys, values, dropout_p, causal, rows, ends).view(q.shape)


def _padded_heads(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout: float,
    causal: bool,
    more_rows: int,
    ends: tuple[Tensor, Tensor] | None,
) -> Tensor:
    """Attend with heads of a multiple of 8, which the kernels want."""
    size = q.shape[-1]
    if q.dtype not in HALF:
        raise UserError(f"train.attention = flash_attention_2: it takes no {q.dtype}")
    if size > MOST:
        raise UserError(f"train.attention = flash_attention_2: heads of {size}; at most {MOST}")
    if size % 8:
        q, k, v = (functional.pad(tensor, [0, -size % 8]) for tensor in (q, k, v))
    options = (dropout, causal, more_rows, ends)
    out: Tensor = _Attention.apply(q, k, v, options)  # type: ignore[no-untyped-call]
    return out[..., :size]


class _Attention(torch.autograd.Function):
    """torch's own flash kernel, with what the package keeps and makes beside it."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, options: Any) -> Tensor:
        dropout, causal, ctx.more_rows, ends = options
        found = _ATEN._scaled_dot_product_flash_attention(
            *(tensor.transpose(1, 2) for tensor in (q, k, v)), dropout, causal
        )
        out: Tensor = found[0].transpose(1, 2)
        ctx.save_for_backward(q, k, v, out, found[1], *(ends or ()))
        ctx.lengths, ctx.seeds, ctx.options = found[2:6], found[6:8], (dropout, causal)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, sums, *_ = ctx.saved_tensors
        width = up(out.shape[-1], 32 if out.shape[-1] <= 128 else 64) + 1
        rows = out.new_empty((ctx.more_rows * out.shape[2] * width,), dtype=torch.float32)
        heads_first = [tensor.transpose(1, 2) for tensor in (grad, q, k, v, out)]
        grads = _ATEN._scaled_dot_product_flash_attention_backward(
            *heads_first, sums, *ctx.lengths, *ctx.options, *ctx.seeds
        )
        del rows
        return (*(each.transpose(1, 2) for each in grads), None)
