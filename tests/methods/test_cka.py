"""Linear CKA: what it does not change with, and what it does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from methods.safe.cka import linear_cka

torch.manual_seed(0)
X = torch.randn(500, 64, dtype=torch.float64)
ORTHOGONAL = torch.linalg.qr(torch.randn(64, 64, dtype=torch.float64))[0]


@pytest.mark.parametrize(
    "y",
    [X, X @ ORTHOGONAL, 7.5 * X, X + 5, 0.3 * (X @ ORTHOGONAL) - 2],
    ids=["same", "rotated", "scaled", "shifted", "all"],
)
def test_rotation_scale_and_shift_change_nothing(y: Tensor) -> None:
    assert abs(linear_cka(X, y) - 1) < 1e-12


def test_a_linear_map_that_is_not_orthogonal_changes_it() -> None:
    assert linear_cka(X, X @ torch.randn(64, 64, dtype=torch.float64)) < 0.8


@pytest.mark.parametrize(("n", "expected"), [(50, 0.56), (500, 0.11), (50_000, 0.001)])
def test_few_rows_make_independent_features_look_alike(n: int, expected: float) -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(n, 64, generator=generator) for _ in range(2))
    assert linear_cka(x, y) == pytest.approx(expected, rel=0.3)


def test_an_outlying_dimension_does_not_hide_a_difference() -> None:
    """Uncentred, +50 on one dimension would give 0.9999."""
    noise = torch.randn(500, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    y = X + 0.5 * noise
    outlier = torch.zeros(64, dtype=torch.float64)
    outlier[3] = 50
    assert linear_cka(X + outlier, y + outlier) == pytest.approx(linear_cka(X, y), abs=1e-12)
    assert linear_cka(X, y) < 0.9


def test_features_that_do_not_vary_are_like_nothing() -> None:
    assert linear_cka(torch.ones(10, 3), torch.randn(10, 3)) == 0.0


def test_numpy_agrees() -> None:
    x, y = X.numpy(), (X @ torch.randn(64, 32, dtype=torch.float64)).numpy()
    x, y = x - x.mean(0), y - y.mean(0)
    expected = (((y.T @ x) ** 2).sum()) / (
        ((x.T @ x) ** 2).sum() ** 0.5 * ((y.T @ y) ** 2).sum() ** 0.5
    )
    assert linear_cka(torch.tensor(x), torch.tensor(y)) == pytest.approx(expected, rel=1e-12)
