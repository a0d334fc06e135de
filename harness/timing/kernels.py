"""What operators cost beyond their FLOPs and bytes: one table, read in the sources.

Every operator is one kernel that reads its inputs and writes its outputs once, unless it is listed
here. That is true of pointwise operators and reductions, known by their tags, of products, known by
torch's counter of FLOPs, and of those of this table. What any other operator launches is not known.

Read in torch 2.13: aten/src/ATen/native/cuda (the files that are named), its callers in
aten/src/ATen/native, and cuSOLVER's and cuFFT's documentation.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch.utils.flop_counter import flop_registry

Moves = Literal["whole", "gather", "scatter", "skip"]


class Cost(NamedTuple):
    """What an operator launches.

    Attributes:
        launches: kernels of one call.
        each: kernels for each tensor of its list, in place of `launches`.
        lists: one kernel for many tensors of its lists.
        passes: how often it goes over its data.
        dims: a pass for each dimension that is transformed.
        columns: dependent small steps for each column of a matrix.
        moves: `gather`: of its largest input it reads as much as it writes; `scatter`: it writes
            as much as it is given; `skip`: of its largest input it needs the shape alone.
        kernel: False: nothing runs on the device.
    """

    launches: int = 1
    each: int = 0
    lists: bool = False
    passes: float = 1.0
    dims: bool = False
    columns: float = 0.0
    moves: Moves = "whole"
    kernel: bool = True


PLAIN = Cost()
NONE = Cost(kernel=False)
LIST = Cost(lists=True)

TABLE: dict[str, Cost] = {
    # -- nothing on the device: memory without values, and other names of it ----------------------
    **dict.fromkeys((
        "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view",
        "detach", "detach_", "alias", "lift_fresh", "_reshape_alias", "resize_", "set_",
        "is_pinned", "sym_size", "is_same_size", "resolve_conj", "resolve_neg", "record_stream",
        "promote_types", "as_strided_", "squeeze_", "unsqueeze_", "transpose_", "t_",
    ), NONE),
    # -- copies and fills: Copy.cu, FillKernel.cu, RangeFactories.cu, TensorFactories.cu ----------
    **dict.fromkeys((
        "copy", "copy_", "_to_copy", "clone", "contiguous", "fill", "fill_", "zero", "zero_",
        "zeros", "zeros_like", "new_zeros", "ones", "ones_like", "new_ones", "full", "full_like",
        "new_full", "scalar_tensor", "arange", "linspace", "range", "tril", "triu",
        "tril_indices", "triu_indices",
    ), PLAIN),
    "eye": Cost(launches=2),  # zeros, then the diagonal
    "fill_diagonal_": PLAIN,
    # -- random numbers: Distributions.cpp, Dropout.cu, Randperm.cu -------------------------------
    **dict.fromkeys((
        "bernoulli", "bernoulli_", "uniform_", "normal_", "random_", "rand", "rand_like", "randn",
        "randn_like", "randint", "exponential_", "native_dropout", "native_dropout_backward",
    ), PLAIN),
    "randperm": Cost(launches=8),
    "multinomial": Cost(launches=6),
    # -- joining, moving about: Shape.cu, TransformationHelper, Repeat.cu, ReflectionPad.cu -------
    "cat": PLAIN,  # one kernel for 128 tensors
    "stack": PLAIN,
    "block_diag": Cost(each=1),  # a copy for each block (TensorShape.cpp), after zeros
    **dict.fromkeys(("flip", "roll", "repeat", "constant_pad_nd", "reflection_pad1d"), PLAIN),
    "repeat_interleave": Cost(launches=3),
    "slice_backward": Cost(launches=2),  # zeros, then the slice (FunctionsManual.cpp)
    "select_backward": Cost(launches=2),
    "diagonal_backward": Cost(launches=2),
    "slice_scatter": Cost(launches=2),
    "select_scatter": Cost(launches=2),
    "diag_embed": Cost(launches=2),
    "im2col": PLAIN,
    "col2im": PLAIN,
    "unfold_backward": Cost(launches=2),
    # -- by index: Indexing.cu, IndexKernel.cu, Embedding.cu, ScatterGatherKernel.cu --------------
    **dict.fromkeys(
        ("embedding", "index", "index_select", "gather", "take", "take_along_dim"),
        Cost(moves="gather"),
    ),
    # sorted by index first: sort, then the boundaries of runs, then sums of them
    "embedding_dense_backward": Cost(launches=8),
    "index_put": Cost(launches=2),  # a copy first
    **dict.fromkeys(
        ("index_put_", "_index_put_impl_", "scatter_", "scatter_add_", "scatter_reduce_",
         "index_add_", "index_copy_", "index_fill_", "masked_scatter_"), Cost(moves="scatter"),
    ),
    **dict.fromkeys(
        ("scatter", "scatter_add", "index_add", "index_copy", "scatter_reduce", "masked_scatter"),
        Cost(launches=2),  # a copy first
    ),
    "nonzero": Cost(launches=4),  # Nonzero.cu: count, its copy, select, positions
    "masked_select": Cost(launches=5),
    "unique_consecutive": Cost(launches=6),  # UniqueCub.cu
    "_unique2": Cost(launches=8),
    "bincount": Cost(launches=4),
    "searchsorted": PLAIN,
    "bucketize": PLAIN,
    "one_hot": Cost(launches=3),
    # -- order: Sort.cpp, TensorTopK.cu, ScanKernels.cpp ------------------------------------------
    "topk": Cost(launches=4),
    "kthvalue": Cost(launches=2),
    "median": Cost(launches=4),
    "sort": Cost(launches=6, passes=4),
    "argsort": Cost(launches=6, passes=4),
    "msort": Cost(launches=6, passes=4),
    "cumsum": Cost(launches=2),
    "cumprod": Cost(launches=2),
    "cumsum_": Cost(launches=2),
    "logcumsumexp": Cost(launches=2),
    "_logcumsumexp": Cost(launches=2),
    "cummax": Cost(launches=2),
    "argmax": PLAIN,
    "argmin": PLAIN,
    # -- normalisation, softmax, losses: SoftMax.cu, layer_norm_kernel.cu, Loss.cu, NLLLoss2d.cu --
    **dict.fromkeys(
        ("_softmax", "_softmax_backward_data", "_log_softmax", "_log_softmax_backward_data",
         "_safe_softmax", "native_layer_norm", "_fused_rms_norm", "native_group_norm",
         "mse_loss", "mse_loss_backward", "smooth_l1_loss",
         "_prelu_kernel", "_prelu_kernel_backward", "glu", "glu_backward"), PLAIN,
    ),
    "native_layer_norm_backward": Cost(launches=3),  # of the input; of the weight in two passes
    "_fused_rms_norm_backward": Cost(launches=3),
    "native_group_norm_backward": Cost(launches=3),
    "native_batch_norm": Cost(launches=2),
    "native_batch_norm_backward": Cost(launches=2),
    "_native_batch_norm_legit": Cost(launches=2),
    "_batch_norm_with_update": Cost(launches=2),
    "cudnn_batch_norm": Cost(launches=2),
    "nll_loss_forward": Cost(moves="gather"),
    "nll_loss2d_forward": Cost(moves="gather"),
    "nll_loss_backward": Cost(launches=2, moves="skip"),  # zeros, and a number in each row
    "nll_loss2d_backward": Cost(launches=2),
    # -- linear algebra: BatchLinearAlgebra.cpp on cuSOLVER and cuBLAS; columns wait for another --
    "_linalg_solve_ex": Cost(launches=8, columns=1.0),
    "linalg_inv_ex": Cost(launches=8, columns=1.0),
    "linalg_lu_factor_ex": Cost(launches=2, columns=1.0),
    "linalg_lu_factor": Cost(launches=2, columns=1.0),
    "linalg_lu": Cost(launches=4, columns=1.0),
    "linalg_lu_solve": Cost(launches=4, columns=0.4),
    "_linalg_check_errors": PLAIN,  # whether any matrix was singular: read on the host
    "_linalg_det": Cost(launches=8, columns=1.0),
    "_linalg_slogdet": Cost(launches=8, columns=1.0),
    "linalg_cholesky_ex": Cost(launches=2, columns=0.5),
    "linalg_solve_triangular": Cost(launches=2, columns=0.4),
    "triangular_solve": Cost(launches=2, columns=0.4),
    "linalg_qr": Cost(launches=60, columns=2.0),
    "geqrf": Cost(launches=30, columns=1.0),
    "linalg_householder_product": Cost(launches=30, columns=1.0),
    "_linalg_eigh": Cost(launches=60, columns=10.0),
    "_linalg_svd": Cost(launches=60, columns=20.0),
    "linalg_matrix_exp": Cost(launches=30),
    # -- Fourier transforms: CuFFTPlanCache.h; a kernel or two for each dimension ----------------
    **dict.fromkeys(("_fft_c2c", "_fft_r2c", "_fft_c2r"), Cost(launches=4, dims=True)),
    # -- others -----------------------------------------------------------------------------------
    "cdist": PLAIN,
    "_cdist_forward": PLAIN,
    "pixel_shuffle": PLAIN,
    "max_pool2d_with_indices": PLAIN,
    "avg_pool2d": PLAIN,
    "_adaptive_avg_pool2d": PLAIN,
    "avg_pool1d": PLAIN,
    "upsample_bilinear2d": PLAIN,
    "upsample_bicubic2d": PLAIN,
    "upsample_nearest2d": PLAIN,
    "convolution_backward": Cost(launches=3),  # of input, weight and bias
    "_local_scalar_dense": PLAIN,  # a copy to the host
    "equal": Cost(launches=3),
    "is_nonzero": PLAIN,
    "complex": PLAIN,
    "polar": PLAIN,
    "real": NONE,
    "_conj": NONE,
    "_amp_update_scale_": PLAIN,
    "_amp_foreach_non_finite_check_and_unscale_": LIST,
}  # fmt: skip

# How many tensors one kernel of a list takes, and of how many entries (ForeachUtils.h,
# MultiTensorApply.cuh: chunks of 65,536 entries, 320 of them).
PER_LAUNCH, ENTRIES = 48, 320 * 65_536
# Of the bandwidth that other kernels reach: a list's 320 blocks do not fill the card.
LIST_RATE = 0.8
COLUMN = 2e-6  # seconds of a step that waits for the one before it
# What waits for the device to be done.
WAITS = frozenset({
    "_local_scalar_dense", "nonzero", "unique_consecutive", "_unique2", "is_nonzero", "equal",
    "masked_select", "bincount", "_linalg_check_errors",
})  # fmt: skip


def cost_of(func: Any) -> Cost | None:
    """Return what an operator costs; None: it is not known."""
    space, _, name = func._schema.name.partition("::")
    if space == "profiler":
        return NONE
    listed = TABLE.get(name, TABLE.get(name.removesuffix("_"))) if space == "aten" else None
    if listed is not None:
        return listed
    if any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns):
        return NONE  # a view
    if name.startswith(("_foreach_", "_fused_adam", "_fused_sgd", "_fused_adagrad")):
        return LIST
    return PLAIN if _once_over(func) or func._overloadpacket in flop_registry else None


def _once_over(func: Any) -> bool:
    """Tell whether an operator is pointwise or a reduction, by the tags of any of its forms.

    Those in place, or into a given tensor, are not always tagged as those out of place are.
    """
    space, _, name = func._schema.name.partition("::")
    for packet in {name, name.removesuffix("_")}:
        forms = getattr(getattr(torch.ops, space), packet, None)
        for form in () if forms is None else forms.overloads():
            tags = getattr(forms, form).tags
            if torch.Tag.pointwise in tags or torch.Tag.reduction in tags:
                return True
    return False
