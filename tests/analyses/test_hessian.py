"""Eigenvalues of a run's Hessian against the whole Hessian of a small model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cells import cell_of, run, setup_of
from torch import Tensor
from torch.func import functional_call

from harness.analyses.base import Found
from harness.analyses.hessian import Hessian, hessian_times, twice_differentiable
from harness.analyses.parameters import only_these_train, tensors_over
from harness.training.setup import Setup
from harness.training.studies import _subject

SMALL = "{lora: {r: 1, targets: qv}}"
OVERRIDES = (
    'tasks=[{name: acceptability, train_rows: 16, evaluation_rows: 8}]',
    "train.epochs=6", "train.lr=5.0e-2", "train.head_lr=1.0e-2",
)  # fmt: skip


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Setup]:
    """Runs by attention, trained in single precision and held in double."""
    folder, setups = tmp_path_factory.mktemp("double"), {}
    for attention in ("sdpa", "eager"):
        cell = cell_of(folder, SMALL, *OVERRIDES, f"train.attention={attention}")
        setups[attention] = run(cell)
        setups[attention].model.double().eval()
    return setups


@pytest.fixture
def single(tmp_path: Path) -> Setup:
    setup = run(cell_of(tmp_path, SMALL, *OVERRIDES))
    setup.model.eval()
    return setup


def conclude(setup: Setup, **options: Any) -> Found:
    given = {"examples": 16, "iterations": 500, "tolerance": 1e-8} | options
    return Hessian(**given).begin().conclude(_subject(setup))


@pytest.fixture(scope="module")
def exact(double: dict[str, Setup]) -> dict[str, Tensor]:
    """The whole Hessian, over all that trained and over the adapter alone."""
    return {
        "trained": hessian_of(double["sdpa"], "trained"),
        "adapter": hessian_of(double["eager"], "adapter"),
    }


def hessian_of(setup: Setup, over: Any) -> Tensor:
    """The Hessian by torch.autograd.functional.hessian, of one function of one vector."""
    subject = _subject(setup)
    tensors = tensors_over(subject, over)
    batches = subject.sample(16, 8)

    def loss(vector: Tensor) -> Tensor:
        parts = torch.split(vector, [p.numel() for p in tensors.values()])
        pairs = zip(tensors.items(), parts, strict=True)
        there = {name: part.view_as(p) for (name, p), part in pairs}
        outputs = [functional_call(setup.model, there, kwargs=dict(b.inputs)) for b in batches]
        return sum(out.loss * b.share for out, b in zip(outputs, batches, strict=True))

    vector = torch.cat([p.detach().reshape(-1) for p in tensors.values()])
    with twice_differentiable():
        return torch.autograd.functional.hessian(loss, vector, vectorize=True)


@pytest.mark.parametrize(("over", "attention"), [("trained", "sdpa"), ("adapter", "eager")])
def test_the_five_largest_are_those_of_the_exact_hessian(
    double: dict[str, Setup], exact: dict[str, Tensor], over: str, attention: str
) -> None:
    setup, whole = double[attention], exact[over]
    assert torch.allclose(whole, whole.T, atol=1e-10)
    values = torch.linalg.eigvalsh(whole).flip(0)
    found = conclude(setup, over=[over]).content["over"][over]
    assert found["parameters"] == len(values) > 100
    assert found["eigenvalues"] == pytest.approx(values[:5].tolist(), rel=1e-4)
    assert values[4] > 0, "five that are not all rounding"
    assert found["lowest"] == pytest.approx(float(values[-1]), abs=1e-4 * float(values[0]))
    assert found["converged"]


def test_products_are_the_hessian_s(double: dict[str, Setup], exact: dict[str, Tensor]) -> None:
    setup, whole = double["eager"], exact["adapter"]
    subject = _subject(setup)
    chosen = list(tensors_over(subject, "adapter").values())
    vector = torch.randn(len(whole), dtype=torch.float64)
    with only_these_train(setup.model, chosen), twice_differentiable():
        product = hessian_times(vector, chosen, subject, subject.sample(16, 8))
    assert torch.allclose(product, whole @ vector, rtol=1e-9, atol=1e-12)
    assert all(p.requires_grad for p in chosen), "what trained trains again"


def test_a_run_in_single_precision_finds_the_same(single: Setup, exact: dict[str, Tensor]) -> None:
    rough = conclude(single, tolerance=1e-4).content["over"]["trained"]
    values = torch.linalg.eigvalsh(exact["trained"]).flip(0)
    assert rough["eigenvalues"][0] == pytest.approx(float(values[0]), rel=1e-4)
    assert rough["asymmetry"] < 1e-4


def test_over_what_is_frozen_there_is_no_hessian_and_that_is_said(single: Setup) -> None:
    setup = single
    for parameter in setup.model.parameters():
        parameter.requires_grad_(False)
    found = conclude(setup, over=["trainable", "trained", "adapter"], tolerance=1e-3)
    assert set(found.content["over"]) == {"trained", "adapter"}
    assert found.notes == ["over trainable: nothing is left, so there is no Hessian"]
    assert not any(p.requires_grad for p in setup.model.parameters())


def test_what_did_not_converge_says_so(single: Setup) -> None:
    found = conclude(single, iterations=3)
    assert not found.content["over"]["trained"]["converged"]
    assert "not converged after 3 products" in found.notes[0]


def test_a_larger_set_has_no_smaller_eigenvalue(single: Setup) -> None:
    """Why methods that freeze are compared over all that trained: interlacing."""
    found = conclude(single, over=["trained", "adapter"], tolerance=1e-4).content["over"]
    assert found["trained"]["eigenvalues"][0] >= found["adapter"]["eigenvalues"][0] - 1e-6


def test_label_smoothing_is_part_of_the_loss(tmp_path: Path) -> None:
    plain, smooth = (
        setup_of(cell_of(tmp_path, SMALL, *OVERRIDES, f"train.label_smoothing={share}"))
        for share in (0.0, 0.3)
    )
    losses = [
        sum(float(s.loss(b.inputs).detach()) * b.share for b in s.sample(16, 8))
        for s in (_subject(plain), _subject(smooth))
    ]
    assert losses[0] != losses[1]
