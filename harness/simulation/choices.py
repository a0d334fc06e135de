"""What a CUDA device does differently from the CPU that stands in for it, as one table.

| call                  | on CUDA                                         | here             |
|-----------------------|-------------------------------------------------|------------------|
| dropout               | one kernel that keeps a mask of 1 B an element  | native_dropout   |
| softmax, log_softmax, | one kernel, no fp32 copy of its input           | _softmax,        |
| fp16 to fp32 (bf16's  |                                                 | _log_softmax     |
| copy is made)         |                                                 |                  |
| attention             | flash, efficient or math, by type, mask, dim    | attention.py     |
| autocast              | norms, softmax, losses, sums, powers in fp32    | casts.py         |
| singular vectors      | Vh by rows (cuSOLVER), so that its first rows   | _cuda_svd        |
|                       | are a view of all; by columns on the CPU        |                  |
| AdamW, clipping       | foreach: temporaries of all parameters at once  | foreach=True     |
| scratch in kernels    | workspaces, accumulators                        | scratch.py       |
| a number read from a  | whatever it is                                  | answers.py, or   |
| tensor                |                                                 | an error         |
| autocast, asked   | on                                              | as on the CPU    |
| for by no device  |                                                 |                  |
| step counters         | stay in host memory                             | not counted      |

The CPU as the target keeps its own choices, but for attention: fake tensors take another path
there than real ones do.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad

from harness.simulation.attention import attention_on
from harness.simulation.hollow_calls import WITHOUT_VALUES
from harness.simulation.target import Target

_softmax, _log_softmax = functional.softmax, functional.log_softmax
_torch_softmax, _method_softmax = torch.softmax, Tensor.softmax
_dropout = functional.dropout
_svd = torch.linalg.svd
_autocasts, _autocast_dtype = torch.is_autocast_enabled, torch.get_autocast_dtype


def _cuda_dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    if inplace or not training or not 0 < p < 1:
        return _dropout(input, p, training, inplace)
    out: Tensor = torch.native_dropout(input, p, True)[0]
    return out


def _cuda_svd(A: Tensor, full_matrices: bool = True, **kwargs: Any) -> Any:
    found = _svd(A, full_matrices, **kwargs)
    u, s, vh = found
    return type(found)((u, s, vh.contiguous()))


def _is_autocast_enabled(device_type: str = "cpu") -> bool:
    return _autocasts(_stood_for(device_type))


def _get_autocast_dtype(device_type: str) -> torch.dtype:
    return _autocast_dtype(_stood_for(device_type))


def _stood_for(device_type: str) -> str:
    """Return the CPU, where autocast is that of the GPU which it or meta stands in for."""
    return "cpu" if device_type in {"cuda", "meta"} else device_type


def _fused(plain: Any, kernel: Any) -> Any:
    def call(input: Tensor, dim: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        dtype = kwargs.get("dtype", args[-1] if args else None)
        # SoftMax.cpp: `softmax` asks for Half alone.
        if dtype is torch.float32 and input.dtype is torch.float16 and dim is not None:
            out: Tensor = kernel(input, dim, True)
            return out
        result: Tensor = plain(input, dim, *args, **kwargs)
        return result

    return call


def _accept(parameter: Tensor, cuda_unsupported: bool = False) -> None:
    pass


@contextmanager
def choices_of(target: Target, autocasts: bool) -> Iterator[set[str]]:
    """Make calls on fake CPU tensors do what they would do on the target, in this process.

    Whoever runs a model of transformers inside has imported it before. Yields the kernels that sdpa
    has taken, as it goes on.
    """
    taken: set[str] = set()
    attention = attention_on(target, taken)
    replaced: list[tuple[Any, str, Any]] = [
        (functional, "scaled_dot_product_attention", attention),
        *WITHOUT_VALUES,
    ]
    masks = sys.modules.get("transformers.masking_utils")
    if masks is not None:  # it looks at a mask's values unless it is traced; a real run is not
        replaced.append((masks, "is_tracing", lambda tensor=None: False))
    if target.kind == "cuda":
        aten = torch.ops.aten
        replaced += [
            (functional, "dropout", _cuda_dropout),
            (torch, "dropout", lambda input, p, train: _cuda_dropout(input, p, train)),
            (torch.linalg, "svd", _cuda_svd),
            # Whom peft's quantised layers ask names no device, and means CUDA.
            (torch, "is_autocast_enabled", _is_autocast_enabled),
            (torch, "get_autocast_dtype", _get_autocast_dtype),
            (functional, "softmax", _fused(_softmax, aten._softmax)),
            (torch, "softmax", _fused(_torch_softmax, aten._softmax)),
            (Tensor, "softmax", _fused(_method_softmax, aten._softmax)),
            (functional, "log_softmax", _fused(_log_softmax, aten._log_softmax)),
            # Clipping refuses foreach on a device that it does not know.
            (clip_grad, "_device_has_foreach_support", lambda device: True),
            # So does the fused optimizer.
            (sys.modules["torch.optim.adam"], "_device_dtype_check_for_fused", _accept),
        ]
    with ExitStack() as stack:
        for owner, name, new in replaced:
            stack.enter_context(mock.patch.object(owner, name, new))
        if target.kind == "cuda" and autocasts:
            from harness.simulation.casts import cuda_autocast_policy

            stack.enter_context(cuda_autocast_policy())
        yield taken
