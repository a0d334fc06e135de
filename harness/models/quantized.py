"""A model's linear layers on quantised weights: which of them, and what stays as it was.

Which layers is transformers' rule: all that are plain nn.Linear or Conv1D, but for output
embeddings, tied weights and what the class keeps in fp32. Here heads stay, too, since they train,
and layers that a model never calls (Mamba's): with packed weights it would not run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from methods import surgery
from methods.tree import unused_names

if TYPE_CHECKING:
    import torch
    from torch import nn

THRESHOLD = 6.0  # of outliers in inputs of 8-bit layers: the default of transformers


@dataclass(frozen=True)
class Quantization:
    """How a base is quantised.

    Attributes:
        kind: of the weights.
        double: quantise the scales, too (4 bits).
        compute: type of products with 4-bit weights, and in which the model was loaded.
        rest: type of what is left: embeddings, norms, biases, output embeddings.
    """

    kind: Literal["nf4", "fp4", "int8"]
    double: bool
    compute: torch.dtype
    rest: torch.dtype


# Makes the quantised layer that takes a linear layer's place.
Make = Callable[["nn.Module", Quantization], "nn.Module"]


def quantize(
    model: nn.Module,
    how: Quantization,
    *,
    keep: Collection[str] = (),
    make: Make | None = None,
) -> None:
    """Put quantised layers in the place of a model's linear layers; nothing in them trains.

    Args:
        model: on the device where it is quantised; edited in place.
        how: to quantise.
        keep: names of further parameters whose layers stay.
        make: None: bitsandbytes' layers.
    """
    make = make or of_bitsandbytes
    made: dict[int, nn.Module] = {}
    for name in quantizable(model, keep):
        module = model.get_submodule(name)
        if id(module) not in made:
            made[id(module)] = make(module, how)
        home, _, key = name.rpartition(".")
        setattr(model.get_submodule(home), key, made[id(module)])
    computed = {id(layer.bias) for layer in made.values() if how.kind != "int8"}
    for parameter in model.parameters():
        if parameter.is_floating_point() and id(parameter) not in computed:
            parameter.data = parameter.data.to(how.rest)
    flag: Any = model  # by which peft knows such a model
    flag.is_loaded_in_8bit, flag.is_loaded_in_4bit = how.kind == "int8", how.kind != "int8"
    configs: list[Any] = [m.config for m in model.modules() if hasattr(m, "config")]
    for part in configs:
        # By which transformers' attention of flash-attn knows one, and what it casts fp32 to.
        part._is_quantized, part.dtype = True, how.compute


def quantizable(model: Any, keep: Collection[str] = ()) -> list[str]:
    """Return the names of the layers that are quantised, of each place of a shared one."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D
    from transformers.quantizers.base import get_keys_to_not_convert
    from transformers.quantizers.quantizers_utils import should_convert_module

    stay = [*get_keys_to_not_convert(model), *(model._keep_in_fp32_modules or ())]
    read = set(unused_names("", model))  # by a function of the layer's own, which wants numbers
    names = {*surgery.head_parameters(model), *keep}
    trained = {id(p) for n, p in model.named_parameters(remove_duplicate=False) if n in names}
    return [
        name
        for name, module in model.named_modules(remove_duplicate=False)
        if (isinstance(module, Conv1D) or type(module) is nn.Linear)
        and name not in read
        and should_convert_module(name, stay)
        and not any(id(p) in trained for p in module.parameters())
    ]


def of_bitsandbytes(
    linear: nn.Module, how: Quantization, device: torch.device | None = None
) -> nn.Module:
    """Return bitsandbytes' layer with a linear layer's weight, quantised on the device.

    None: where the weight is. An 8-bit layer cannot be moved afterwards, since its scales would
    stay behind.
    """
    import bitsandbytes
    import torch

    d_in, d_out = surgery.linear_shape(linear)
    weight, bias = linear.get_parameter("weight").detach(), getattr(linear, "bias", None)
    if surgery.stores_transposed(linear):
        weight = weight.T
    nn = bitsandbytes.nn
    layer: Any
    with torch.device("meta"):
        if how.kind == "int8":
            layer = nn.Linear8bitLt(
                d_in, d_out, bias is not None, has_fp16_weights=False, threshold=THRESHOLD
            )
            empty = nn.Int8Params(weight.cpu(), requires_grad=False, has_fp16_weights=False)
        else:
            layer = nn.Linear4bit(d_in, d_out, bias is not None, compute_dtype=how.compute)
            # In evaluation it would pack its weight otherwise, and never train again.
            layer.support_avx512bf16_for_cpu = False
            empty = nn.Params4bit(
                weight.to(device or weight.device),
                requires_grad=False,
                compress_statistics=how.double,
                quant_type=how.kind,
            )
    layer.weight = empty.to(device or weight.device)
    layer.bias = frozen_bias(linear, how)
    quantised: torch.nn.Module = layer
    return quantised


def frozen_bias(linear: nn.Module, how: Quantization) -> nn.Parameter | None:
    """Return a layer's bias as the first forward pass would make it: in the compute type."""
    bias: nn.Parameter | None = getattr(linear, "bias", None)
    if bias is not None:
        bias.requires_grad_(False)
        if how.kind != "int8":
            bias.data = bias.data.to(how.compute)
    return bias
