"""What softmax and its kin take for themselves.

SoftMax.cu: `softmax_backward_cuda_out` multiplies gradient and result first; `host_softmax` and
`host_softmax_backward` copy what is not contiguous. SoftMax.cpp: `_safe_softmax`, which attention
by products of matrices calls, is a softmax, a mask of one byte a number, and their choice.
ReduceOps.cpp: `logsumexp_out_impl` makes the exponentials first.
"""

from __future__ import annotations

from torch import Tensor

from harness.simulation.kernels.sizes import size_of


def copies(*tensors: Tensor) -> int:
    """Return the bytes of contiguous copies of those that are not."""
    return sum(size_of(tensor) for tensor in tensors if not tensor.is_contiguous())


def softmax_backward(gradient: Tensor, result: Tensor) -> int:
    """Return the bytes: grad * result, and a result that is copied."""
    return size_of(result) + copies(result)


def safe_softmax(scores: Tensor) -> int:
    """Return the bytes: the softmax itself and the mask of what was -inf."""
    return size_of(scores) + scores.numel()


def logsumexp(tensor: Tensor, dims: list[int]) -> int:
    """Return the bytes: the exponentials and the largest numbers."""
    kept = tensor.numel()
    for dim in dims:
        kept //= tensor.shape[dim]
    return size_of(tensor) + kept * tensor.element_size()
