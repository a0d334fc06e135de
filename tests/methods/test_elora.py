"""ELoRA's invariants, for each way to share the projections."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tiny import PLAN, backward, build
from torch import Tensor, nn

from methods import Handle, Plan
from methods.elora import Elora

SHARES = ("global", "by_shape", "none")


def vectors(handle: Handle, kind: str) -> dict[str, Tensor]:
    return {name: p for name, p in handle.adapter.items() if f".vera_lambda_{kind}." in name}


def pair(module: Any) -> tuple[Tensor, Tensor]:
    a, b = module.vera_A["default"], module.vera_B["default"]
    return a[:, : module.in_features], b[: module.out_features]


def layer(handle: Handle, name: str) -> Any:
    return handle.model.get_submodule(f"bert.encoder.layer.{name}")


@pytest.mark.parametrize("share", SHARES)
def test_start_and_first_gradients(share: str) -> None:
    handle = Elora(r=8, share=share).attach(build(), PLAN)
    assert all((d == 0.1).all() for d in vectors(handle, "d").values())
    assert all(not b.any() for b in vectors(handle, "b").values())
    backward(handle)
    assert all(not d.grad.any() for d in vectors(handle, "d").values())
    assert all(b.grad.any() for b in vectors(handle, "b").values())


@pytest.mark.parametrize(("share", "pairs"), [("global", 1), ("by_shape", 3), ("none", 24)])
def test_pairs_are_shared_as_asked(share: str, pairs: int) -> None:
    handle = Elora(r=8, share=share).attach(build(), PLAN)
    assert len(handle.overhead()) == 2 * pairs
    query, key = layer(handle, "0.attention.self.query"), layer(handle, "3.attention.self.key")
    inner = layer(handle, "0.intermediate.dense")
    assert (query.vera_A["default"] is key.vera_A["default"]) == (share != "none")
    assert (query.vera_A["default"] is inner.vera_A["default"]) == (share == "global")


@pytest.mark.parametrize("share", ["by_shape", "none"])
def test_projections_are_uniform_by_fan_in(share: str) -> None:
    handle = Elora(r=8, share=share).attach(build(), PLAN)
    for name, tensor in handle.overhead().items():
        bound = math.sqrt(6 / tensor.shape[1])
        assert 0.9 * bound < tensor.abs().max() <= bound, name


def test_global_pair_has_the_largest_size() -> None:
    handle = Elora(r=8).attach(build(), PLAN)
    assert sorted(tuple(t.shape) for t in handle.overhead().values()) == [(8, 64), (64, 8)]


def test_global_pair_follows_the_seed() -> None:
    tensors = [
        next(iter(Elora(r=8).attach(build(), Plan(1, 1, 1, seed=seed)).overhead().values()))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(tensors[0], tensors[1])
    assert not torch.equal(tensors[0], tensors[2])


@pytest.mark.parametrize("share", SHARES)
def test_projections_stay_and_merge_as_the_formula_says(share: str) -> None:
    model = build()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    handle = Elora(r=8, share=share).attach(model, PLAN)
    stored = {name: t.clone() for name, t in handle.overhead().items()}
    optimizer = torch.optim.AdamW(handle.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        backward(handle)
        optimizer.step()
        optimizer.zero_grad()
    assert all(torch.equal(t, stored[name]) for name, t in handle.overhead().items())
    module = layer(handle, "1.output.dense")
    a, b = pair(module)
    s_d, s_b = module.vera_lambda_d["default"], module.vera_lambda_b["default"]
    expected = before["bert.encoder.layer.1.output.dense.weight"] + (
        torch.diag(s_b) @ b @ torch.diag(s_d) @ a
    )
    merged = handle.finish(handle.model).get_parameter("bert.encoder.layer.1.output.dense.weight")
    torch.testing.assert_close(merged, nn.Parameter(expected), atol=1e-6, rtol=1e-5)


def test_bfloat16_base_keeps_pairs_in_float32() -> None:
    handle = Elora(r=8, share="none").attach(build().bfloat16(), PLAN)
    tensors = [*handle.overhead().values(), *handle.parameters()]
    assert {t.dtype for t in tensors} == {torch.float32}
