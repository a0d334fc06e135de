"""What kernels that sort take for themselves: gradients of embeddings, accumulation, sampling.

Gradient of an embedding (EmbeddingBackwardKernel.cu, embedding_backward_cuda_kernel): above 3,072
ids they are sorted and cut into parts of at most ten equal ids; each part's sum has a row in fp32.
How many parts there are only the ids tell, so there is room for the most. The formula is the
measured one to the byte. The others are fitted to what an H200 showed.
"""

from __future__ import annotations

from torch import Tensor

from harness.simulation.kernels.sizes import up

INT64 = 8
ROUND = 512
SORTED_FROM = 3072  # ids; below, one kernel adds without sorting (Embedding.cu)
ROWS_PER_PART = 10  # NROWS_PER_THREAD
SORTED_IN_PLACE = 4096  # Sort.cu: up to here rows are sorted in shared memory


def embedding_backward(gradient: Tensor, ids: Tensor, num_rows: int) -> int:
    """Return the bytes for a gradient (..., width) of `ids` into a table of `num_rows`."""
    count, width = ids.numel(), gradient.shape[-1]
    if count <= SORTED_FROM:
        return 0
    segments = min(count, num_rows)
    parts = count // ROWS_PER_PART + segments
    by_id, by_segment, by_part = (INT64 * size for size in (count, segments, parts))
    sums = max(4, gradient.element_size()) * parts * width
    blocks = [by_id] * 3 + [by_segment] * 2 + [by_part, sums, 1, 1]
    return sum(up(size, ROUND) for size in blocks)


def index_put_accumulate(num_places: int) -> int:
    """Return the bytes of adding to so many places (Indexing.cu, index_put_with_sort_kernel).

    Places, sorted places, their order, and what the sort itself needs.
    """
    return (32 if num_places <= SORTED_FROM else 48) * num_places


def sort(tensor: Tensor, dim: int) -> int:
    """Return the bytes of sorting along a dimension (Sort.cpp, segmented_sort_pairs)."""
    if tensor.dim() == 0 or tensor.shape[dim] <= SORTED_IN_PLACE:
        return 0
    return tensor.numel() * (2 * tensor.element_size() + 3 * INT64)
