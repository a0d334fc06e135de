"""Lanczos' iteration against matrices whose eigenvalues are known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from harness.analyses.lanczos import NotSymmetric, Spectrum, lanczos


def run(matrix: Tensor, top: int = 5, most: int = 200, tolerance: float = 1e-9) -> Spectrum:
    return lanczos(
        lambda vector: matrix @ vector, draws(len(matrix)), top=top, most=most, tolerance=tolerance
    )


def draws(size: int) -> Callable[[int], Tensor]:
    def start(number: int) -> Tensor:
        generator = torch.Generator().manual_seed(number)
        return torch.randn(size, generator=generator, dtype=torch.float64)

    return start


def symmetric(values: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    square = torch.randn((len(values), len(values)), generator=generator, dtype=torch.float64)
    basis, _ = torch.linalg.qr(square)
    return basis @ torch.diag(values) @ basis.T


def test_the_ends_of_a_spectrum_that_decays_as_a_hessian_s_does() -> None:
    values = torch.cat([torch.tensor([-3.0]), 40 * 0.8 ** torch.arange(299.0)]).double()
    found = run(symmetric(values), most=80)
    assert found.converged
    assert found.steps < 80
    assert found.values == pytest.approx((40 * 0.8 ** torch.arange(5.0)).tolist(), rel=1e-9)
    assert found.lowest == pytest.approx(-3.0, abs=found.lowest_residual)
    assert found.asymmetry < 1e-12


def test_residuals_bound_the_error_where_nothing_has_converged() -> None:
    values = torch.linspace(0.0, 10.0, 200).double()
    found = run(symmetric(values), most=8)
    assert not found.converged
    assert found.steps == 8
    for value, residual in zip(found.values, found.residuals, strict=True):
        assert (values - value).abs().min() <= residual * (1 + 1e-9)


def test_an_eigenvalue_is_found_as_often_as_it_occurs() -> None:
    values = torch.tensor([7.0, 7.0, 7.0, 2.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0]).double()
    found = run(symmetric(values), top=5)
    assert found.values == pytest.approx([7, 7, 7, 2, 1], abs=1e-9)
    assert run(symmetric(values), top=2).values == pytest.approx([7, 7], abs=1e-9)


def test_a_small_matrix_has_no_more_than_all_of_its_eigenvalues() -> None:
    found = run(symmetric(torch.tensor([3.0, -8.0]).double()), top=5)
    assert found.values == pytest.approx([3, -8])
    assert found.lowest == pytest.approx(-8)
    assert run(torch.zeros((1, 1), dtype=torch.float64)).values == [0.0]


def test_what_is_no_symmetric_matrix_is_refused() -> None:
    matrix = symmetric(torch.arange(20.0).double())
    matrix[3, 4] += 5.0
    with pytest.raises(NotSymmetric, match="depart from a symmetric matrix"):
        run(matrix)
