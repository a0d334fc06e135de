"""What cuDNN's convolutions take for themselves, as far as it was seen on an H200 (torch 2.11).

cuDNN chooses a kernel by its heuristics. Seen: kernels of one dimension and of 16 bits work on
copies with the channels last, padded to eight channels: of inputs, results and weights in forward,
of inputs and gradients in backward, there with some partial sums of the weights' gradient. Fp32 in
two dimensions needs no copies in forward. Depthwise convolutions are torch's own and need nothing.
For patches of 4 x 4 in 16 bits, whose forward needs nothing, this is too much; in fp32, too.
"""

from __future__ import annotations

from torch import Tensor

from harness.simulation.kernels.sizes import size_of, up

CHANNELS = 8  # to which the copies are padded
PARTS = 7  # of the weights' gradient, as seen for patches of 16 x 16 in 16 bits


def forward(inputs: Tensor, weight: Tensor, out: Tensor, groups: int) -> int:
    """Return the bytes of a forward pass; inputs (B, C, ...), weight (C', C / groups, ...)."""
    if _depthwise(weight, groups) or not _copies(inputs):
        return 0
    return _padded(inputs) + _padded(weight) + size_of(out)


def backward(gradient: Tensor, inputs: Tensor, weight: Tensor, groups: int) -> int:
    """Return the bytes of a backward pass."""
    if _depthwise(weight, groups):
        return 0
    return _padded(inputs) + _padded(gradient) + PARTS * _padded(weight)


def _depthwise(weight: Tensor, groups: int) -> bool:
    return groups > 1 and weight.shape[1] == 1


def _copies(inputs: Tensor) -> bool:
    return inputs.element_size() == 2 or inputs.dim() == 3


def _padded(tensor: Tensor) -> int:
    channels = tensor.shape[1]
    if tensor.element_size() == 2:
        channels = up(channels, CHANNELS)
    return tensor.numel() // tensor.shape[1] * channels * tensor.element_size()
