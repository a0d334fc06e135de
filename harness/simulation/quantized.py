"""Linear layers on quantised weights, on tensors without values: bitsandbytes' bytes and calls.

bitsandbytes' own parameters refuse tensors without values. These layers hold storages of the same
sizes and make the same tensors in the same order. Read in bitsandbytes 0.50 (nn/modules.py,
autograd/_functions.py, backends/cuda, backends/default):

| bits | on   | in forward                                           | in backward               |
|------|------|------------------------------------------------------|---------------------------|
| 4    | both | the input in the compute type, the output in the     | the scales in fp32; the   |
|      |      | input's; nothing is kept                             | weight as it was loaded,  |
|      |      |                                                      | then in the gradient's    |
|      | CPU  | scales in fp32, the weight in the compute type       | type                      |
|      | CUDA | the same, of scales two copies; up to 4 rows neither |                           |
| 8    | both | the input is kept, behind autograd's back:           | the weight in the input's |
|      |      | checkpointing without reentry does not free it       | type                      |
|      | CPU  | the weight in the input's type                       |                           |
|      | CUDA | input in fp16, its absolute values and outliers, and |                           |
|      |      | in int8; sums in int32, result in fp16, then in the  |                           |
|      |      | input's type                                         |                           |

From 5 to 1,536 rows CUDA's 4-bit forward has a kernel that makes no weight, and takes it where it
is faster on the card; here the weight is made, as in every version up to 0.49. No column of an
8-bit layer's input has outliers here: how many there are only values tell.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness.models.quantized import THRESHOLD, Quantization, frozen_bias
from harness.simulation.eight_bits import EightBits
from harness.simulation.four_bits import FourBits
from methods import surgery

if TYPE_CHECKING:
    from harness.simulation.target import Target
    from harness.suite.numerics import Numerics


def assumed(settings: Numerics) -> list[str]:
    """Say what the bytes of these layers rest on that values decide, as sentences without end."""
    return [
        f"assumed: no input of an 8-bit layer is above {THRESHOLD:g}, where it would be in 16 bits"
    ] * (settings.dtypes.weights == "int8")


class StandIns:
    """Makes the layers of a target that take linear layers' places."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def __call__(self, linear: nn.Module, how: Quantization) -> nn.Module:
        """Return the quantised layer of a linear layer."""
        kind = _kind(how.kind == "int8")
        with torch.device("meta"):
            layer = kind(*surgery.linear_shape(linear), bias=False)
        layer.bias = frozen_bias(linear, how)
        layer.fill(how, linear.get_parameter("weight").device, self.target.kind == "cuda")
        made: nn.Module = layer
        return made


def _kind(eight: bool) -> Any:
    """Return the class of layers: peft asks for bitsandbytes' class, and so they are of it."""
    import bitsandbytes

    if eight:
        return _both(EightBits, bitsandbytes.nn.Linear8bitLt)
    return _both(FourBits, bitsandbytes.nn.Linear4bit)


@cache
def _both(own: type, base: type) -> Any:
    return type(base.__name__, (own, base), {"__init__": nn.Linear.__init__})
