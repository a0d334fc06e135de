"""LoRAPrune's invariants and schedule."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from prunable import FAST, MODELS, PLAN, attach, build, disturb, drive, gone, inputs, logits, sgd
from sizes import build as build_full_size
from torch import nn

from methods import Plan, Stage, surgery
from methods.loraprune.masks import estimate_gradient, importance, sensitivity
from methods.loraprune.method import LoraPrune
from methods.loraprune.schedule import PruningSchedule

# -- invariants ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_masked_and_compacted_models_agree(name: str) -> None:
    handle = attach(name)
    disturb(handle)
    full = logits(handle.model)
    for unit in handle.sets:
        if unit.mask is not None:
            unit.mask_until(unit.groups.count // 2)
    masked = logits(handle.model)
    assert (masked - full).abs().max() > 1e-4, "masks change nothing"
    change = handle.compact()
    assert change is not None
    assert change.reshaped
    torch.testing.assert_close(logits(handle.model), masked, atol=1e-5, rtol=0)
    named = dict(handle.model.named_parameters())
    assert all(named[key] is parameter for key, parameter in handle.adapter.items())
    assert {id(p) for unit in handle.units() for p in unit} == set(map(id, handle.parameters()))
    plain = handle.finish(handle.model)
    torch.testing.assert_close(logits(plain), masked, atol=1e-5, rtol=0)
    assert list(plain.state_dict()) == list(build(name).state_dict())


def test_a_compacted_model_trains_as_the_masked_one() -> None:
    masked, compacted = attach(**FAST), attach(**FAST, compact_at=[0.2])
    drive(masked, sgd(masked), 0, 12)
    *others, change = drive(compacted, sgd(compacted), 0, 12)
    assert not any(others)
    assert change
    assert [gone(unit) for unit in compacted.sets] == [gone(unit) for unit in masked.sets]
    assert compacted.report() == masked.report()
    for handle in (masked, compacted):
        handle.model(**inputs(handle.model), labels=torch.tensor([0, 1])).loss.backward()
    left = {id(pair.new): pair for pair in change.resized}
    for name, parameter in masked.adapter.items():
        new = compacted.adapter[name]
        expected = parameter.grad
        assert expected is not None
        assert (id(new) in left) == (new.shape != parameter.shape)
        if id(new) in left:
            _, _, dim, kept = left[id(new)]
            assert dim is not None
            assert kept is not None
            expected = expected.index_select(dim, kept)
        torch.testing.assert_close(new.grad, expected, atol=1e-6, rtol=1e-4)


def test_what_is_masked_stays_masked() -> None:
    handle = attach(**FAST)
    optimizer = sgd(handle)
    shares, before = [], [gone(unit) for unit in handle.sets]
    for step in range(0, 32):
        drive(handle, optimizer, step, step + 1)
        now = [gone(unit) for unit in handle.sets]
        assert all(old <= new for old, new in zip(before, now, strict=True))
        before = now
        shares.append(handle.report()["ratio"])
        if step == 10:  # ties must not bring anything back
            for unit in handle.sets:
                if unit.average is not None:
                    unit.average.zero_()
    assert shares == sorted(shares)
    # Of three layers 31 of 64 channels, 1 of 4 heads: the ratio itself is never asked for.
    assert shares[-1] == 3 * (31 + 1) / (4 * (64 + 4))
    assert not any("importance" in key for key in handle.overhead()), "scored after the last time"


def test_estimate_is_exact_to_first_order() -> None:
    a, b = nn.Parameter(torch.randn(2, 5)), nn.Parameter(torch.zeros(3, 2))
    assert estimate_gradient(a, b) is None
    a.grad, b.grad = torch.zeros_like(a), torch.randn(3, 2)
    found = estimate_gradient(a, b)
    assert found is not None
    torch.testing.assert_close(found, b.grad @ a)
    with torch.no_grad():
        b.normal_()
    a.grad = torch.randn(2, 5)
    expected = b.grad @ a + b @ a.grad - b.grad @ a.grad
    torch.testing.assert_close(estimate_gradient(a, b), expected)


def test_schedule() -> None:
    schedule = PruningSchedule(1000, 0.0, 0.5, 0.1, 0.1, 10)
    assert [schedule.ratio(t) for t in (0, 100, 900, 999)] == [0, 0, 0.5, 0.5]
    assert schedule.ratio(500) == pytest.approx(0.5 * (1 - 0.5**3))
    assert [t for t in (0, 100, 105, 110, 890, 900) if schedule.selects(t)] == [110, 890]
    assert schedule.last() == 890
    assert 0.49 < schedule.ratio(890) < 0.5
    assert PruningSchedule(1000, 0.2, 0.5, 0.1, 0.1, 10).ratio(100) == 0.2


def test_protected_layers_are_untouched() -> None:
    handle = attach(**FAST, protect_first=0.3, protect_last=2, compact_at=[0.5])
    names = surgery.layer_names(handle.model)
    shapes = [
        {n.removeprefix(f"{name}."): p.shape for n, p in handle.model.named_parameters()
         if n.startswith(f"{name}.")}
        for name in names
    ]  # fmt: skip
    query = handle.model.get_submodule(f"{names[0]}.attention.self.query.base_layer")
    before = query.get_parameter("weight").clone()
    drive(handle, sgd(handle), 0, 30)
    for index, name in enumerate(names):
        now = {n: p.shape for n, p in handle.model.get_submodule(name).named_parameters()}
        assert (now == shapes[index]) == (index != 1), name
    assert handle.report()["heads"] == [4, 3, 4, 4]
    assert handle.report()["channels"] == [64, 33, 64, 64]
    assert torch.equal(query.get_parameter("weight"), before)


def test_bert_large_arithmetic() -> None:
    model = build_full_size("bert-large-uncased")
    names = surgery.target_modules(model, "six")

    def encoder_weights() -> int:
        modules = (surgery.unwrap(model.get_submodule(name)) for name in names)
        return sum(module.get_parameter("weight").numel() for module in modules)

    before = encoder_weights()
    handle = LoraPrune(r=8).attach(model, Plan(1000, 100, 10))
    masks = handle.overhead()
    assert (
        len(masks) == 2 * 2 * 21
    )  # heads and channels, masks and averages; 2 + 1 layers have none
    assert sum(t.nbytes for t in masks.values()) == 21 * (16 + 4096) * (1 + 4)
    first, last = LoraPrune(r=8).stages(Plan(1000, 100, 10))
    assert not handle.force(first)
    change = handle.force(last)
    assert encoder_weights() / before == 1 - 0.5 * 21 / 24 == 0.5625
    assert len(change.resized) == 6 * 21
    assert handle.report()["heads"] == [16] * 2 + [8] * 21 + [16]
    assert handle.report()["channels"][2] == 2048
    assert handle.report()["ratio"] == 0.5 * 21 / 24
    assert not handle.overhead()


# -- importance ----------------------------------------------------------------------------------


def test_importance_sums_rows_and_columns() -> None:
    """A fused layer's importance is that of its three matrices, each one normalised."""
    handle = attach("gpt2")
    disturb(handle)
    handle.model(**inputs(handle.model), labels=torch.tensor([0, 1])).loss.backward()
    groups = handle.sets[2].groups
    fused, behind = (handle.model.get_submodule(member.name) for member in groups.members)
    total = torch.zeros(4)
    for module, values in ((fused, sensitivity(fused, "lora")), (behind, None)):
        if values is None:
            found = sensitivity(module, "lora")
            assert found is not None
            parts = [found.T]
        else:
            assert values.shape == (96, 32)
            parts = list(values.detach().split(32))
        for part in parts:
            sums = torch.stack([rows.sum() for rows in part.split(8)])
            total += (sums / sums.norm()).detach()
    torch.testing.assert_close(importance(handle.model, groups, 4, "lora"), total)


def test_sensitivity_multiplies_the_merged_weight() -> None:
    handle = attach("bert", alpha=12)
    disturb(handle)
    module: Any = handle.model.get_submodule(handle.sets[0].groups.members[0].name)
    a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
    merged = module.base_layer.weight + 3 * b @ a
    torch.testing.assert_close(sensitivity(module, "magnitude"), merged.abs())
    assert sensitivity(module, "lora") is None  # there is no gradient yet


def test_average_skips_what_is_not_finite() -> None:
    handle = attach(ema=0.75)
    unit = handle.sets[2]
    assert unit.average is not None
    handle.model(**inputs(handle.model), labels=torch.tensor([0, 1])).loss.backward()
    handle.on_gradients(0)
    new = importance(handle.model, unit.groups, 4, "lora")
    assert new is not None
    first = unit.average.clone()
    torch.testing.assert_close(first, 0.25 * new)
    handle.on_gradients(1)
    torch.testing.assert_close(unit.average, (0.25 + 0.75 * 0.25) * new)
    before = [u.average.clone() for u in handle.sets if u.average is not None]
    bad = next(p for name, p in handle.adapter.items() if "layer.1" in name)
    assert bad.grad is not None
    bad.grad[0, 0] = math.nan
    handle.on_gradients(2)
    after = [u.average for u in handle.sets if u.average is not None]
    assert all(map(torch.equal, before, after))


def test_magnitude_wants_no_adapter_everywhere() -> None:
    handle = attach(targets="qv", metric="magnitude", **FAST)
    drive(handle, sgd(handle), 0, 29)
    assert handle.report()["channels"] == [33, 33, 33, 64]
    masked = logits(handle.model)
    torch.testing.assert_close(logits(handle.finish(handle.model)), masked, atol=1e-5, rtol=0)


def test_at_least_one_group_stays() -> None:
    handle = attach(ratio=0.99)
    unit = handle.sets[2]
    unit.mask_until(64)
    assert unit.mask is not None
    assert (unit.mask.sum(), unit.gone) == (1, 3)
    handle.force(Stage("compacted", 0.99))
    assert handle.report()["heads"] == [1, 1, 1, 4]


# -- what is refused -----------------------------------------------------------------------------


def test_groups_need_lora_on_every_matrix() -> None:
    with pytest.raises(ValueError, match=r"'six' put no LoRA on .*gate_proj.*all-linear"):
        attach("llama", targets="six")
    with pytest.raises(ValueError, match=r"'qv' put no LoRA on .*key.*metric: magnitude"):
        attach(targets="qv")


@pytest.mark.parametrize(
    ("options", "plan", "message"),
    [
        ({}, Plan(60, 5, 12, keep_best=True), r"best epoch.*train.checkpoint: last"),
        ({}, Plan(9, 3, 3), r"none between.*multiple of interval 10.*smaller interval"),
        ({"protect_last": 4}, PLAN, r"none of this model's 4 layers"),
    ],
)
def test_runs_that_do_not_fit(options: dict[str, Any], plan: Plan, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attach(plan=plan, **options)
    if plan is not PLAN:
        with pytest.raises(ValueError, match=message):
            LoraPrune(**options).stages(plan)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial": 0.5}, r"initial 0\.5 is not below ratio 0\.5"),
        ({"warm_up": 0.6, "cool_down": 0.4}, "leave nothing"),
        ({"compact_at": [0.1]}, r"compact_at 0\.1: nothing is masked before"),
        ({"compact_at": [1.5]}, "between that and 1"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LoraPrune(**options)


def test_neither_skipped_nor_folded() -> None:
    handle = attach()
    assert not handle.can_skip
    for prepare in (handle.prepare_to_skip, handle.prepare_to_fold):
        with pytest.raises(ValueError, match="loraprune"):
            prepare()


def test_label_tells_options_apart() -> None:
    assert LoraPrune().label == "loraprune-r8"
    assert LoraPrune(r=4, ratio=0.3).label == "loraprune-r4-ratio0.3"
    assert LoraPrune(compact_at=(0.5, 0.9)).label == "loraprune-r8-compact_at0.5+0.9"
