"""Query and value of GPT-2's one projection, adapted apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from asked import forked, request
from contract import PLAN
from real import real_run
from sizes import attach, size
from tiny import batch, build
from torch import nn

from harness.simulation.fake import fake_run
from harness.simulation.target import CPU
from methods import get_method, slices, surgery

QV: dict[str, Any] = {"r": 4, "targets": "qv"}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("lora", QV),
    ("lora", {**QV, "layers": "upper-half"}),
    ("elora", {"r": 4, "targets": "qv"}),
    ("adalora", {"targets": "qv"}),
    ("sora", QV),
    ("aflora", {**QV, "adaptive": "attention"}),
    ("peft", {"type": "LORA", "r": 4, "use_dora": True, "target_modules": "qv"}),
    ("safe", {"over": {"lora": QV}, "tau": 0.5}),
    ("adapterdrop", {"over": {"lora": QV}}),
]


def gpt2(seed: int = 0) -> nn.Module:
    return build("tiny-gpt2", "causal_lm", seed=seed).eval()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_keys_are_as_they_were(name: str, options: dict[str, Any]) -> None:
    """What training moves shows in queries and values of every adapted layer, never in keys."""
    plain, handle = gpt2(), get_method(name)(**options).attach(gpt2(), PLAN)
    for parameter in handle.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    handle.model.eval()
    seen: dict[str, torch.Tensor] = {}

    def note(where: str) -> Any:
        return lambda module, args, out: seen.__setitem__(where, out)

    for layer, other in zip(surgery.layers(handle.model), surgery.layers(plain), strict=True):
        x = torch.randn(2, 5, 32)
        layer.attn.c_attn.register_forward_hook(note("ours"))  # type: ignore[union-attr]
        ours = layer.attn.c_attn(x)  # type: ignore[union-attr, operator]
        theirs = other.attn.c_attn(x)  # type: ignore[union-attr, operator]
        moved = [not torch.allclose(a, b, atol=1e-5) for a, b in zip(
            ours.split(32, -1), theirs.split(32, -1), strict=True)]  # fmt: skip
        assert moved in ([True, False, True], [False, False, False])
        upper = options.get("layers") != "upper-half" or layer in surgery.layers(handle.model)[2:]
        assert moved[0] is upper
    expected = get_method(name)(**options).expected_count(gpt2())
    assert expected is None or expected == size(handle.adapter)


def test_taken_apart_and_put_together_it_is_the_same_model() -> None:
    model, names = gpt2(), surgery.target_modules(gpt2(), "qv")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    with torch.no_grad():
        wanted = model(**batch()).logits
        assert slices.opened(model, names) == names
        assert torch.equal(torch.get_rng_state(), state), "nothing is drawn"
        assert len(surgery.target_modules(model, "qv")) == 8
        torch.testing.assert_close(model(**batch()).logits, wanted)
        slices.put_together(model)
    after = model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert list(after) == list(before)


@pytest.mark.parametrize(("name", "options"), [c for c in CASES if c[0] not in ("safe",)])
def test_a_finished_model_is_gpt2_again(name: str, options: dict[str, Any]) -> None:
    handle = get_method(name)(**options).attach(gpt2(), PLAN)
    for parameter in handle.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    handle.model.eval()
    handle.evaluating(on=True)
    with torch.no_grad():
        wanted = handle.model(**batch()).logits
        finished = handle.finish(handle.model).eval()
        torch.testing.assert_close(finished(**batch()).logits, wanted, rtol=1e-4, atol=1e-4)
    assert set(finished.state_dict()) == set(gpt2().state_dict())


def test_a_layer_whole_and_in_parts_is_refused() -> None:
    method = get_method("lora")(targets=["c_attn", "c_attn.query"])
    with pytest.raises(ValueError, match="both whole and in parts"):
        method.attach(gpt2(), PLAN)


def test_a_part_may_be_named() -> None:
    found = surgery.target_modules(gpt2(), ("value",), (0, 1))
    assert [name.rpartition("h.0.")[2] for name in found] == ["attn.c_attn.value"]
    whole = surgery.target_modules(gpt2(), ("c_attn",), (0, 1))
    assert [name.rpartition("h.0.")[2] for name in whole] == ["attn.c_attn"]


def test_heads_are_pruned_whole() -> None:
    method = get_method("loraprune")(r=4, targets="qv", metric="magnitude")
    with pytest.raises(ValueError, match="parts of one layer here"):
        method.attach(gpt2(), PLAN)


@pytest.mark.parametrize(("name", "options"), [CASES[0], CASES[5], CASES[7]])
def test_the_forecast_takes_it_apart_as_a_run_does(name: str, options: dict[str, Any]) -> None:
    asked = request("tiny-gpt2", name, options, family="causal_lm", target=CPU)
    forecast, real = forked(fake_run, asked).report, real_run(asked)
    assert abs(forecast.peak - real.peak) <= 64
    assert forecast.saved == real.saved


@pytest.mark.parametrize(("name", "count"), [("gpt2-medium", 393_216), ("gpt2-large", 737_280)])
def test_the_published_counts(name: str, count: int) -> None:
    """24 x 2 x 2 x 4 x 1,024, and 36 layers of 1,280."""
    handle = attach(name, "lora", r=4, targets="qv")
    assert size(handle.adapter) == count
    assert all(".query." in n or ".value." in n for n in handle.adapter)
