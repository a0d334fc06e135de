"""The memory that a sum over many rows takes for itself on CUDA.

torch's reduction kernel lets several blocks of threads share one output where there are many rows
and few columns. Their partial sums meet in a buffer of

    4 B * outputs * blocks per output * threads along a row * outputs per thread

that is allocated for the kernel's duration: for the gradient of a bias over 1,536 rows and 3,072
columns 36 MiB, twice the summed tensor. The kernel's launch configuration is torch's
(aten/src/ATen/native/cuda/Reduce.cuh, `setReduceConfig`); the figure above was seen on an H100.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from harness.simulation.target import Target

MAX_THREADS = 512
WARP = 32
MIN_VALUES, MAX_VALUES = 16, 256  # per thread
ACCUMULATOR = 4  # bytes: sums of 16-bit types are kept in fp32
# Multiprocessors and resident threads of each, by capability: V100, T4, A100, A6000, H100, and two
# of the Blackwells. Cards of one capability differ (4090: 128, A6000: 84); they matter only where
# rows are so many that every multiprocessor has work.
MULTIPROCESSORS = {
    (7, 0): (80, 2048),
    (7, 5): (40, 1024),
    (8, 0): (108, 2048),
    (8, 6): (84, 1536),
    (9, 0): (132, 2048),
    (10, 0): (148, 2048),
    (12, 0): (170, 1536),
}


def sum_scratch(tensor: Tensor, dims: Sequence[int] | None, target: Target) -> int:
    """Return the bytes of the buffer of `tensor.sum(dims)`; 0 where one block sums an output.

    Only contiguous tensors summed over leading or over trailing dimensions are known.
    """
    if not tensor.is_contiguous() or tensor.numel() == 0:
        return 0
    axes = {d % tensor.dim() for d in dims} if dims else set(range(tensor.dim()))
    long = [i for i, size in enumerate(tensor.shape) if size > 1]
    summed = [i for i in long if i in axes]
    inputs = math.prod(tensor.shape[i] for i in summed)
    outputs = tensor.numel() // inputs
    if summed == long[: len(summed)] and outputs > 1:
        return _over_rows(inputs, outputs, target)
    if summed == long[len(long) - len(summed) :]:
        return _along_rows(inputs, outputs, target)
    return 0


def _over_rows(inputs: int, outputs: int, target: Target) -> int:
    """Sum down columns: neighbouring threads have neighbouring outputs."""
    vector = next(size for size in (4, 2, 1) if outputs % size == 0)
    width, height = _block(outputs // vector, inputs, MAX_THREADS // vector)
    grid = -(-outputs // (vector * width))
    values = inputs
    if values < min(16 * height, MAX_VALUES):
        return 0  # each warp has outputs of its own
    values = -(-inputs // height)
    blocks = _blocks_per_output(values, grid, width * height, target)
    return 0 if blocks < 2 else ACCUMULATOR * outputs * blocks * width * vector


def _along_rows(inputs: int, outputs: int, target: Target) -> int:
    """Sum along rows: neighbouring threads have neighbouring inputs of one output."""
    whole = outputs == 1 and inputs > 128
    width, height = _block(inputs // 4 if whole else inputs, outputs, MAX_THREADS)
    values = -(-inputs // width)
    if values < min(16 * height, MAX_VALUES):
        return 0
    values, grid = -(-inputs // (width * height)), outputs
    blocks = _blocks_per_output(values, grid, width * height, target)
    return 0 if blocks < 2 else ACCUMULATOR * outputs * blocks


def _block(first: int, second: int, most: int) -> tuple[int, int]:
    """Return the width and height of a block of threads."""
    wide, high = _power(first, most), _power(second, most)
    width = min(wide, WARP)
    height = min(high, most // width)
    return min(wide, most // height), height


def _blocks_per_output(values: int, grid: int, threads: int, target: Target) -> int:
    count, resident = multiprocessors(target)
    room = count * (resident // threads)
    if values < MAX_VALUES or grid > room:
        return 1
    return max(min(-(-room // grid), -(-values // MIN_VALUES)), -(-values // MAX_VALUES))


def multiprocessors(target: Target) -> tuple[int, int]:
    """Return how many multiprocessors the target has, and how many threads each holds."""
    capabilities = [key for key in sorted(MULTIPROCESSORS) if key <= target.capability]
    return MULTIPROCESSORS[capabilities[-1] if capabilities else min(MULTIPROCESSORS)]


def _power(number: int, most: int) -> int:
    """Return the largest power of 2 up to `number`, and up to `most`."""
    return min(most, 1 << (max(1, number).bit_length() - 1))
