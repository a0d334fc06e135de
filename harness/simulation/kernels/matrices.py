"""What products of matrices take for themselves beside cuBLAS's workspace.

Blas.cpp, prepare_matrix_for_cublas and prepare_batch_matrix_for_cublas: cuBLAS reads a matrix of
which one of the last two dimensions has stride 1 and the other's is at least as long; others, such
as expanded ones, are copied.
"""

from __future__ import annotations

from torch import Tensor

from harness.simulation.kernels.sizes import size_of


def copies(*matrices: Tensor) -> int:
    """Return the bytes of copies of matrices that cuBLAS cannot read as they lie."""
    return sum(size_of(m) for m in matrices if not _readable(m))


def _readable(matrix: Tensor) -> bool:
    (rows, columns), (down, along) = matrix.shape[-2:], matrix.stride()[-2:]
    return (along == 1 and down >= max(1, columns)) or (down == 1 and along >= max(1, rows))
