"""LoRA's invariants."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tiny import PLAN, backward, batch, build
from torch import Tensor, nn

from methods import Handle, get_method
from methods.lora import Lora


def parts(handle: Handle, kind: str) -> dict[str, Tensor]:
    return {name: p for name, p in handle.adapter.items() if f".lora_{kind}." in name}


def test_start() -> None:
    handle = Lora(r=4).attach(build(), PLAN)
    for a in parts(handle, "A").values():
        bound = 1 / math.sqrt(a.shape[1])
        assert a.shape[0] == 4
        assert 0.9 * bound < a.abs().max() <= bound
    assert all(not b.any() for b in parts(handle, "B").values())


def test_first_gradients() -> None:
    """With B = 0 no gradient reaches A, and one reaches every B."""
    handle = Lora(r=4).attach(build(), PLAN)
    backward(handle)
    assert all(not a.grad.any() for a in parts(handle, "A").values())
    assert all(b.grad.any() for b in parts(handle, "B").values())


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-gpt2"])
def test_merged_weight_is_the_formula(name: str) -> None:
    model, method = build(name), Lora(r=4, alpha=6, targets="ffn")
    weights = {n: p.detach().clone() for n, p in model.named_parameters()}
    handle = method.attach(model, PLAN)
    for b in parts(handle, "B").values():
        nn.init.normal_(b)
    a = {n.split(".lora_A")[0]: p for n, p in parts(handle, "A").items()}
    b = {n.split(".lora_B")[0]: p for n, p in parts(handle, "B").items()}
    delta = {n: 6 / 4 * b[n] @ a[n] for n in a}
    merged = dict(handle.finish(handle.model).named_parameters())
    assert set(merged) == set(weights)
    for target, change in delta.items():
        expected = weights[f"{target}.weight"] + (change.T if name == "tiny-gpt2" else change)
        torch.testing.assert_close(merged[f"{target}.weight"], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", ["lora", "elora"])
@pytest.mark.parametrize("name", ["tiny-roberta", "tiny-deberta-v2", "tiny-vit", "tiny-swin"])
def test_other_families_start_at_the_base_and_merge(name: str, method: str) -> None:
    vision = name in {"tiny-vit", "tiny-swin"}
    inputs = {"pixel_values": torch.randn(2, 3, 32, 32)} if vision else batch()
    model = build(name, "image" if vision else "classification").eval()
    with torch.no_grad():
        base = model(**inputs).logits
        handle = get_method(method)(r=2).attach(model, PLAN)
        model.eval()
        assert torch.equal(model(**inputs).logits, base)
        for parameter in handle.parameters():
            nn.init.normal_(parameter)
        adapted = model(**inputs).logits
        assert (adapted - base).abs().max() > 1e-3
        merged = handle.finish(handle.model)(**inputs).logits
    torch.testing.assert_close(merged, adapted, atol=1e-5, rtol=0)


def test_upper_half_has_no_adapters_below() -> None:
    handle = Lora(r=4, targets="qv", layers="upper-half").attach(build(), PLAN)
    assert [len(unit) for unit in handle.units()] == [0, 0, 4, 4]


@pytest.mark.parametrize(
    ("options", "label"),
    [
        ({}, "lora-r8"),
        ({"r": 4, "targets": "qv", "dropout": 0.1}, "lora-r4-d0.1-qv"),
        ({"targets": ["query", "output.dense"], "alpha": 32}, "lora-r8-a32-query+output.dense"),
        ({"layers": "upper-half"}, "lora-r8-layersupper-half"),
        ({"layers": [6, 12]}, "lora-r8-layers6+12"),
    ],
)
def test_label(options: dict[str, Any], label: str) -> None:
    assert Lora(**options).label == label


@pytest.mark.parametrize(
    "options", [{"r": 0}, {"dropout": 1.0}, {"alpha": -1}, {"rank": 4}, {"layers": "top"}]
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        get_method("lora")(**options)
