"""Extreme eigenvalues of a symmetric matrix of which only products with vectors are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# Products of a symmetric matrix agree this far; what misses it is no Hessian.
ASYMMETRY = 1e-2


class Spectrum(NamedTuple):
    """The ends of a spectrum.

    Attributes:
        values: the largest eigenvalues, descending; each occurs as often as it was found.
        residuals: ||A x - value x|| of each, with ||x|| = 1: an eigenvalue of A is at most so far.
        lowest: the smallest eigenvalue.
        lowest_residual: its residual.
        steps: products that it took.
        converged: every residual of `values` is within the tolerance.
        asymmetry: largest |x'Ay - y'Ax| that was seen, over the largest |eigenvalue|.
    """

    values: list[float]
    residuals: list[float]
    lowest: float
    lowest_residual: float
    steps: int
    converged: bool
    asymmetry: float


class NotSymmetric(ValueError):
    """The products are none of a symmetric matrix."""


def lanczos(
    product: Callable[[Tensor], Tensor],
    start: Callable[[int], Tensor],
    *,
    top: int,
    most: int,
    tolerance: float,
) -> Spectrum:
    """Run Lanczos' iteration with full reorthogonalisation until the largest ones have converged.

    Lanczos (1950); every new vector is orthogonalised twice against all before (Parlett, 1998,
    section 13). Where the Krylov space is exhausted, a new random vector goes on, so that an
    eigenvalue that occurs several times is found several times.

    Args:
        product: A times a vector (n,).
        start: the i-th random vector (n,); its dtype and device are those of the basis.
        top: how many eigenvalues; of a smaller matrix, all.
        most: products at most; the basis takes so many vectors of memory.
        tolerance: largest residual, as a share of the largest |eigenvalue|.

    Raises:
        NotSymmetric: the matrix is not.
    """
    first = start(0)
    size = first.numel()
    most, top = min(most, size), min(top, size)
    basis = first.new_empty((most, size))
    matrix = torch.zeros((most, most), dtype=torch.float64)
    vector, block, worst, drawn = first / torch.linalg.norm(first), 0, 0.0, 1
    for step in range(most):
        basis[step] = vector
        known = basis[: step + 1]
        image = product(vector)
        along = known @ image
        worst = max(worst, _departure(along.double().cpu(), matrix, step))
        image = image - known.T @ along
        again = known @ image
        image = image - known.T @ again
        matrix[step, step] = float(along[step] + again[step])
        length = float(torch.linalg.norm(image))
        values, vectors = torch.linalg.eigh(matrix[: step + 1, : step + 1])
        scale = float(values.abs().max())
        if worst > ASYMMETRY * scale:
            raise NotSymmetric(
                f"products with vectors depart from a symmetric matrix by {worst / scale:.1e} of "
                "its largest eigenvalue"
            )
        exhausted = length <= torch.finfo(first.dtype).eps ** 0.75 * scale
        residuals = vectors[-1].abs() * (0.0 if exhausted else length)
        enough = tolerance * scale
        done = bool((residuals[-top:] <= enough).all()) and step + 1 >= top
        if step + 1 == most or (done and not exhausted and (
            block == 0 or _is_done(matrix[: step + 1, : step + 1], block, top, length, enough)
        )):  # fmt: skip
            break
        if exhausted:
            image, drawn, block = _fresh(start, drawn, known), drawn + 1, step + 1
            length = float(torch.linalg.norm(image))
        else:
            matrix[step, step + 1] = matrix[step + 1, step] = length
        vector = image / length
    return Spectrum(
        values=values.flip(0)[:top].tolist(),
        residuals=residuals.flip(0)[:top].tolist(),
        lowest=float(values[0]),
        lowest_residual=float(residuals[0]),
        steps=step + 1,
        converged=done,
        asymmetry=worst / scale if scale else 0.0,
    )


def _departure(along: Tensor, matrix: Tensor, step: int) -> float:
    """Return by how much the products with earlier vectors are not what symmetry says."""
    if step == 0:
        return 0.0
    return float((along[:step] - matrix[:step, step]).abs().max())


def _is_done(matrix: Tensor, block: int, top: int, length: float, enough: float) -> bool:
    """Tell whether the Krylov space that was begun last can bring no further one of the largest."""
    values, vectors = torch.linalg.eigh(matrix[block:, block:])
    largest = torch.linalg.eigvalsh(matrix)[-top:]
    return bool(vectors[-1, -1].abs() * length <= enough and values[-1] <= largest[0])


def _fresh(start: Callable[[int], Tensor], number: int, known: Tensor) -> Tensor:
    """Return a random vector that is orthogonal to all known ones."""
    image = start(number)
    for _ in range(2):
        image = image - known.T @ (known @ image)
    return image
