"""Which operators take memory beside their results on CUDA, how much, and how that is known.

docs/kernels.md is this table for readers; a test holds both together, and every operator that
forecasts meet is either here or in `WITHOUT`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from harness.simulation.kernels import attention, convolution, indexing, matrices, softmax
from harness.simulation.kernels.sizes import size_of
from harness.simulation.reductions import sum_scratch
from harness.simulation.target import Target

Args = tuple[Any, ...]
Known = Literal["read", "seen on a GPU", "seen on a GPU, fitted"]


@dataclass(frozen=True)
class Kernel:
    """One operator's hidden memory.

    Attributes:
        operators: by name, with overload.
        takes: what, in words.
        size: (arguments, result, target) -> bytes.
        source: file of torch's, and function.
        known: `read` in the source; or seen on an H100 or H200 besides; `fitted` where the source
            does not say how much.
    """

    operators: tuple[str, ...]
    takes: str
    size: Callable[[Args, Any, Target], int]
    source: str
    known: Known


TABLE = (
    Kernel(
        ("_softmax_backward_data.default",),
        "gradient times result, as large as the scores",
        lambda args, out, target: softmax.softmax_backward(args[0], args[1]),
        "cuda/SoftMax.cu: softmax_backward_cuda_out",
        "seen on a GPU",
    ),
    Kernel(
        ("_softmax.default", "_log_softmax.default"),
        "a contiguous copy of an input that is not",
        lambda args, out, target: softmax.copies(args[0]),
        "cuda/SoftMax.cu: host_softmax",
        "read",
    ),
    Kernel(
        ("_log_softmax_backward_data.default",),
        "contiguous copies of a gradient or result that is not",
        lambda args, out, target: softmax.copies(args[0], args[1]),
        "cuda/SoftMax.cu: host_softmax_backward",
        "read",
    ),
    Kernel(
        ("_safe_softmax.default",),
        "the softmax and a mask of 1 B a score (attention by products of matrices)",
        lambda args, out, target: softmax.safe_softmax(args[0]),
        "SoftMax.cpp: _safe_softmax",
        "read",
    ),
    Kernel(
        ("logsumexp.default",),
        "the exponentials, as large as the input",
        lambda args, out, target: softmax.logsumexp(args[0], args[1]),
        "ReduceOps.cpp: logsumexp_out_impl",
        "seen on a GPU",
    ),
    Kernel(
        ("sum.dim_IntList", "mean.dim"),
        "partial sums of blocks of threads, where rows are many",
        lambda args, out, target: sum_scratch(args[0], args[1], target),
        "cuda/Reduce.cuh: setReduceConfig",
        "seen on a GPU",
    ),
    Kernel(
        ("mm.default", "mm.out", "bmm.default"),
        "copies of matrices that cuBLAS cannot read as they lie",
        lambda args, out, target: matrices.copies(args[0], args[1]),
        "cuda/Blas.cpp: prepare_matrix_for_cublas",
        "read",
    ),
    Kernel(
        ("addmm.default", "addmm.out", "baddbmm.default"),
        "copies of matrices that cuBLAS cannot read as they lie",
        lambda args, out, target: matrices.copies(args[1], args[2]),
        "cuda/Blas.cpp: prepare_matrix_for_cublas",
        "read",
    ),
    Kernel(
        ("_scaled_dot_product_flash_attention_backward.default",),
        "fp32 dq and sums of rows; dk and dv per query head if grouped; copies of what does not "
        "lie as (B, L, H, D)",
        lambda args, out, target: attention.flash_backward(*args[:5]),
        "transformers/cuda/flash_attn/flash_api.cpp: mha_bwd",
        "seen on a GPU",
    ),
    Kernel(
        ("_scaled_dot_product_efficient_attention_backward.default",),
        "sums of rows and fp32 tiles of dq; of fp32 a product first; above a head dim of 64 on "
        "cards of little shared memory, and of 128 on all, tiles of dk and dv",
        lambda args, out, target: attention.efficient_backward(
            args[0], args[1], args[2], args[3], args[9], target
        ),
        "transformers/cuda/attention_backward.cu: _efficient_attention_backward",
        "seen on a GPU",
    ),
    Kernel(
        ("_scaled_dot_product_efficient_attention.default",),
        "the result in fp32, of 16 bits and a head dim above 128",
        lambda args, out, target: attention.efficient_forward(args[0], args[2]),
        "transformers/cuda/mem_eff_attention/kernel_forward.h: kNeedsOutputAccumulatorBuffer",
        "read",
    ),
    Kernel(
        ("embedding_dense_backward.default",),
        "above 3,072 ids: the sorted ids, and in fp32 a row for every ten equal ones",
        lambda args, out, target: indexing.embedding_backward(args[0], args[1], args[2]),
        "cuda/EmbeddingBackwardKernel.cu: embedding_backward_cuda_kernel",
        "seen on a GPU",
    ),
    Kernel(
        ("index_put.default", "index_put_.default", "_unsafe_index_put.default"),
        "accumulating: the places, sorted",
        lambda args, out, target: _index_put(args),
        "cuda/Indexing.cu: index_put_with_sort_kernel",
        "seen on a GPU, fitted",
    ),
    Kernel(
        ("sort.default", "sort.stable"),
        "rows of more than 4,096: numbers twice and indices three times",
        lambda args, out, target: indexing.sort(args[0], _sorted_dim(args)),
        "cuda/Sort.cpp: sort_cuda_kernel",
        "seen on a GPU, fitted",
    ),
    Kernel(
        ("multinomial.default",),
        "the shares, as large as the input",
        lambda args, out, target: size_of(args[0]),
        "cuda/MultinomialKernel.cu: multinomial_with_replacement_kernel_impl",
        "seen on a GPU",
    ),
    Kernel(
        ("convolution.default",),
        "of 16 bits or one dimension: copies with channels last; depthwise none",
        lambda args, out, target: convolution.forward(args[0], args[1], out, args[8]),
        "cuDNN's choice (cudnn/Conv_v8.cpp)",
        "seen on a GPU, fitted",
    ),
    Kernel(
        ("convolution_backward.default",),
        "copies with channels last, and parts of the weights' gradient; depthwise none",
        lambda args, out, target: convolution.backward(args[0], args[1], args[2], args[9]),
        "cuDNN's choice (cudnn/Conv_v8.cpp)",
        "seen on a GPU, fitted",
    ),
)


def _index_put(args: Args) -> int:
    if len(args) < 4 or not args[3]:
        return 0
    given = (index.shape for index in args[1] if index is not None)
    places = torch.broadcast_shapes(*given)  # type: ignore[no-untyped-call]
    return indexing.index_put_accumulate(places.numel())


def _sorted_dim(args: Args) -> int:
    return next((int(arg) for arg in args[1:] if type(arg) is int), -1)


def _operator(name: str) -> Any:
    packet, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, packet), overload)


BY_OPERATOR: dict[Any, Kernel] = {
    _operator(name): kernel for kernel in TABLE for name in kernel.operators
}
