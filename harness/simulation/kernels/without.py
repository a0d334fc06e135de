"""Operators that forecasts meet and whose CUDA kernels take nothing, or some kB, beside results.

Pages of torch's source are under aten/src/ATen/native. Views and factories launch no kernel or fill
what they return; they are here so that an operator that nobody has looked at is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.simulation.kernels.table import Known


@dataclass(frozen=True)
class Without:
    """Operators of one kind, by name without `aten::` and overload."""

    what: str
    operators: frozenset[str]
    source: str
    known: Known


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


WITHOUT = (
    Without(
        "views",
        _names(
            "_unsafe_view alias as_strided as_strided_ detach expand permute select slice split "
            "split_with_sizes squeeze t transpose unbind unfold unsqueeze view chunk diagonal"
        ),
        "TensorShape.cpp",
        "read",
    ),
    Without(
        "factories",
        _names(
            "arange empty empty_like full lift_fresh new_empty new_full new_ones new_zeros ones "
            "ones_like rand randn randint scalar_tensor zeros zeros_like eye tril triu "
            "select_backward slice_backward"
        ),
        "TensorFactories.cpp",
        "read",
    ),
    Without(
        "element by element, casts and copies",
        _names(
            "_to_copy abs add add_ bitwise_and bitwise_not bitwise_or ceil clamp clamp_min clone "
            "copy_ cos div div_ eq erf exp expm1 fill_ floor floor_divide ge gelu gelu_backward gt "
            "hardtanh le lerp log log1p logical_and logical_not logical_or lt masked_fill "
            "masked_fill_ maximum minimum mul mul_ native_dropout native_dropout_backward ne neg "
            "pow reciprocal relu remainder round rsqrt rsub sigmoid sigmoid_backward sign silu "
            "silu_backward sin softplus softplus_backward sqrt sub tanh tanh_backward "
            "threshold_backward where isnan isinf addcmul bernoulli_ zero_"
        ),
        "cuda/Loops.cuh: gpu_kernel",
        "seen on a GPU",
    ),
    Without(
        "element by element in place, by optimizers that go tensor by tensor",
        _names("addcdiv_ addcmul_ clamp_ lerp_ pow_ rsqrt_"),
        "cuda/Loops.cuh: gpu_kernel",
        "read",
    ),
    Without(
        "multi-tensor kernels of optimizers, clipping and the scaler (what they return is seen)",
        _names(
            "_amp_foreach_non_finite_check_and_unscale_ _amp_update_scale_ _foreach_add_ "
            "_foreach_addcdiv_ _foreach_addcmul_ _foreach_div_ _foreach_lerp_ _foreach_mul_ "
            "_foreach_norm _foreach_sqrt _fused_adamw_"
        ),
        "cuda/MultiTensorApply.cuh: multi_tensor_apply",
        "seen on a GPU",
    ),
    Without(
        "normalisation, forward and backward",
        _names(
            "native_layer_norm native_layer_norm_backward _fused_rms_norm _fused_rms_norm_backward"
        ),
        "cuda/layer_norm_kernel.cu",
        "seen on a GPU",
    ),
    Without(
        "the loss of classes",
        _names("nll_loss_forward nll_loss_backward"),
        "cuda/Loss.cu",
        "seen on a GPU",
    ),
    Without(
        "look-ups and additions by index, a row for each",
        _names("embedding gather index index_add index_select scatter scatter_add"),
        "cuda/Indexing.cu, cuda/ScatterGatherKernel.cu",
        "seen on a GPU",
    ),
    Without(
        "sums to one number, largest ones and norms: some kB of partial results",
        _names(
            "_local_scalar_dense all amax any argmax linalg_vector_norm max mean min prod sum "
            "topk var_mean cumsum"
        ),
        "cuda/Reduce.cuh, cuda/TensorTopK.cu, cuda/ScanUtils.cuh",
        "seen on a GPU",
    ),
    Without(
        "tensors laid beside each other or moved",
        _names("cat constant_pad_nd flip repeat roll stack"),
        "cuda/Shape.cu, cuda/TensorTransformations.cu",
        "read",
    ),
    Without(
        "fused attention, forward, and grouped products of experts (0.1 MiB)",
        _names(
            "_scaled_dot_product_flash_attention _scaled_dot_product_cudnn_attention _grouped_mm"
        ),
        "transformers/cuda/attention.cu, cuda/GroupedBlas.cpp",
        "seen on a GPU",
    ),
    Without(
        "runs of equal position ids, and where they begin: some B a token",
        _names("nonzero unique_consecutive"),
        "cuda/Nonzero.cu, cuda/UniqueCub.cu",
        "read",
    ),
)
