"""SAFE: what freezing leaves as it is, and its options."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from contract import last_hidden
from pydantic import ValidationError
from tiny import batch, build, logits
from torch import Tensor, nn

from harness.training.optim import apply_change
from methods import Handle, Plan
from methods.base import Stage
from methods.safe.cka import Recorder
from methods.safe.method import Safe

PLAN = Plan(num_steps=60, steps_per_epoch=5, num_epochs=12, seed=3)
QV = {"lora": {"r": 4, "targets": "qv"}}
EMBEDDINGS = {
    "peft": {"type": "lora", "target_modules": "qv", "modules_to_save": ["word_embeddings"]}
}


def probe() -> list[dict[str, Tensor]]:
    return [{**batch(), "labels": torch.tensor([0, 1])}]


def attached(model: str = "tiny-bert", plan: Plan = PLAN, **options: Any) -> Handle:
    torch.manual_seed(0)
    method = Safe(**{"over": QV, "tau": 1.0, "max_warmup": 2, "probe": 2, **options})
    handle = method.attach(build(model), plan)
    handle.on_start(probe())
    return handle


def moved(handle: Handle, units: range = range(4)) -> None:
    """Let the adapters of some units differ from the base model."""
    generator = torch.Generator().manual_seed(5)
    for unit in units:
        for parameter in handle.units()[unit]:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("activation", ["model", "local"])
def test_importance_is_0_at_first_and_where_nothing_moved(activation: str) -> None:
    handle: Any = attached(activation=activation)
    assert max(handle._measure([0, 1, 2, 3], probe()).values()) < 1e-9
    moved(handle, range(2, 3))
    found = handle._measure([0, 1, 2, 3], probe())
    assert max(found[0], found[1]) < 1e-9
    assert found[2] > 1e-6
    # A difference lives on in the layers above, but not for one layer's own input.
    assert found[3] > 1e-6 if activation == "model" else found[3] < 1e-9


def test_probing_leaves_mode_random_state_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    handle: Any = attached(over={"lora": {"r": 4, "dropout": 0.5}}, activation="local")
    handle.model.train()
    state = torch.get_rng_state()
    first = handle._measure([0, 1, 2, 3], probe())
    assert first == handle._measure([0, 1, 2, 3], probe()), "no dropout"
    assert torch.equal(state, torch.get_rng_state())
    assert handle.model.training
    assert all(p.grad is None for p in handle.model.parameters())


def test_padding_and_too_many_rows_are_left_out() -> None:
    handle = attached()
    padded = {**batch(), "attention_mask": torch.tensor([[1] * 10, [1] * 4 + [0] * 6])}
    assert [len(rows) for rows in Recorder(handle, [padded], 0).features()] == [14] * 4
    first, again = (Recorder(handle, [padded], 0, most=6).features() for _ in range(2))
    assert [len(rows) for rows in first] == [6] * 4
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_freezing_changes_no_output_and_releases_the_state() -> None:
    handle = attached(tau=1.0)
    moved(handle)
    optimizer = torch.optim.AdamW([p for p in handle.model.parameters() if p.requires_grad])
    handle.model(**probe()[0]).loss.backward()
    optimizer.step()
    before = logits(handle.model)
    for epoch in range(3):
        change = handle.on_epoch(epoch, probe())
    assert change, "all importances are below 0.875 in epoch 3"
    apply_change(optimizer, change)
    assert torch.equal(logits(handle.model), before)
    assert not any(p.requires_grad for p in handle.parameters())
    assert not any(p in optimizer.state for p in handle.parameters())
    assert any(p.requires_grad for p in handle.model.parameters()), "the head goes on"


def test_merging_takes_adapters_out_of_the_model() -> None:
    handle = attached(merge=True)
    moved(handle)
    before = logits(handle.model)
    change = handle.force(Stage("half", 0.5))
    assert len(change.frozen) == 8
    assert change.reshaped
    names = [name for name, _ in handle.model.named_modules() if name.endswith("lora_A")]
    assert {name.split(".")[3] for name in names} == {"2", "3"}
    torch.testing.assert_close(logits(handle.model), before, atol=1e-5, rtol=0)
    assert [len(unit) for unit in handle.units()] == [0, 0, 4, 4]


def test_shared_weights_are_not_merged() -> None:
    model = build()
    layers = model.get_submodule("bert.encoder.layer")
    layers[1].attention.self.query.weight = layers[0].attention.self.query.weight  # type: ignore[index, union-attr]
    with pytest.raises(ValueError, match=r"shares its weight with .*layer.0.*layer.1"):
        Safe(over=QV, tau=0.5, merge=True).attach(model, PLAN)


def test_quantised_weights_are_not_merged() -> None:
    from methods.common.folding import refuse_unfoldable

    layer = nn.Linear(4, 4)
    layer.weight = nn.Parameter(torch.ones(4, 4, dtype=torch.int8), requires_grad=False)
    with pytest.raises(ValueError, match=r"0 is quantised \(torch.int8\)"):
        refuse_unfoldable(nn.Sequential(layer), ["0"])


@pytest.mark.parametrize(
    ("options", "plan", "message"),
    [
        ({}, replace(PLAN, num_epochs=4), "from epoch 3 at the earliest.*last 2 .t_f 0.5T"),
        ({"merge": True}, replace(PLAN, keep_best=True), "set train.checkpoint: last"),
        ({"merge": True, "over": "bitfit"}, PLAN, "own biases"),
        ({"over": {"peft": {"type": "prompt_tuning", "num_virtual_tokens": 3}}}, PLAN, "a prompt"),
        ({"over": EMBEDDINGS, "cache_prefix": True}, PLAN, "word_embeddings.* trains to the end"),
        ({"over": {"adapterdrop": {"over": QV}}, "cache_prefix": True}, PLAN, "steps differ"),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any], plan: Plan, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attached(plan=plan, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"over": "lroa", "tau": 0.1}, "did you mean 'lora'"),
        ({"over": {"lora": {"rank": 4}}, "tau": 0.1}, r"unknown key 'lora.rank'; did you mean 'r'"),
        ({"over": {"lora": {}, "elora": {}}, "tau": 0.1}, "one method"),
        ({"over": "lora"}, "tau\n  Field required"),
        ({"over": "lora", "tau": 1.5}, "between 0 and 1"),
        ({"over": "lora", "tau": 0.1, "t_f": {"epochs": 1, "fraction": 0.5}}, "either epochs or"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Safe(**options)


def test_the_base_model_s_features_are_the_reference_whatever_the_start() -> None:
    """FourierFT does not start at the base model: its first importance is not 0."""
    over = {"peft": {"type": "fourierft", "target_modules": "qv", "init_weights": False}}
    handle: Any = attached(over={"peft": {**over["peft"], "n_frequency": 50}})
    handle.skip(None)
    torch.testing.assert_close(last_hidden(handle.model), last_hidden(build()))
    handle.skip(())
    assert min(handle._measure([0, 1, 2, 3], probe()).values()) > 1e-9
