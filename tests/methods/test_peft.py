"""Every type of the installed peft through the `peft` method, on tiny models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft_types import DECODERS_ONLY, SMALL, all_types
from pydantic import ValidationError
from tiny import PLAN, backward, batch, build, logits
from torch import nn

from harness.models.load import build_model
from harness.models.spec import ModelSpec
from harness.tasks.families import get_family
from methods import Plan, get_method, surgery
from methods.peft_any.method import Peft
from methods.peft_any.types import REFUSED

BERT, LLAMA = "tiny-bert", "tiny-llama"


@pytest.mark.parametrize("kind", all_types())
def test_every_type_trains_or_is_refused(kind: str) -> None:
    if kind in REFUSED:
        with pytest.raises(ValidationError, match=f"{kind} is not supported: it"):
            Peft(type=kind)
        return
    decoder = kind in DECODERS_ONLY
    model = build(LLAMA, "causal_lm") if decoder else build(BERT)
    head = {name: p.shape for name, p in surgery.head_parameters(model).items()}
    handle = Peft(type=kind, **SMALL.get(kind, {})).attach(model, PLAN)
    trainable = {name for name, p in handle.model.named_parameters() if p.requires_grad}
    found = surgery.head_parameters(handle.model)
    assert trainable == set(handle.adapter) | set(found)
    assert [p.shape for p in found.values()] == list(head.values())  # one head, no copy
    handle.model.train()
    optimizer = torch.optim.SGD(handle.parameters(), lr=0.5)
    before = [p.detach().clone() for p in handle.parameters()]
    for step in range(2):
        backward(handle)
        optimizer.step()
        handle.on_step(step)
        optimizer.zero_grad()
    assert any(not torch.equal(p, old) for p, old in zip(handle.parameters(), before, strict=True))
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))  # so that there is much to merge
    after = logits(handle.model)
    torch.testing.assert_close(logits(handle.finish(handle.model)), after, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "lorra"}, r"no type 'LORRA'; did you mean 'LORA'"),
        ({"type": "lora", "rank": 4}, r"LORA has no option 'rank'; did you mean 'r' or 'rank_p"),
        ({"type": "lora", "r": "many"}, r"option r: input should be a valid integer.*'many'"),
        ({"type": "lora", "task_type": "SEQ_CLS"}, "'task_type' is not yours to set"),
        ({"type": "lora", "modules_to_save": ["classifier"]}, "the head trains anyway"),
        ({"type": "lora", "init_lora_weights": "eva"}, "needs? a pass|from a pass over training"),
        ({"type": "lora", "kasa_config": {}}, "kasa_config is not supported.*loss"),
        ({"type": "miss", "init_weights": 3}, r"init_weights: .*given: 3"),
        (
            {"type": "adalora", "init_r": 4, "target_r": 8, "tinit": -1, "r": "x"},
            r"option r: .*'x'",
        ),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        get_method("peft")(**options)


def test_wrong_options_of_this_model() -> None:
    with pytest.raises(ValueError, match=r"peft type LORA: .*nonsense"):
        Peft(type="lora", target_modules=["nonsense"]).attach(build(), PLAN)
    with pytest.raises(ValueError, match="OSF: its targets put 3 adapter tensors on the head"):
        Peft(type="osf").attach(build(), PLAN)
    with pytest.raises(ValueError, match="OSF: it finds nothing in this model that it could train"):
        Peft(type="osf", target_modules="six").attach(build("tiny-gpt2", "causal_lm"), PLAN)
    method = Peft(type="prompt_tuning", num_virtual_tokens=2)
    with pytest.raises(ValueError, match="PROMPT_TUNING prepends tokens: it needs a text model"):
        method.attach(build("tiny-vit", "image"), PLAN)


def test_where_peft_has_no_default_targets_the_set_to_give_is_said() -> None:
    wanted = "IA3: peft has no default target_modules for modernbert; target_modules: all-linear"
    for kind in ("lora", "ia3"):
        with pytest.raises(ValueError, match=wanted.replace("IA3", kind.upper())):
            Peft(type=kind).attach(hollow("modernbert-base"), PLAN)


def test_a_prefix_that_is_not_as_wide_as_the_heads_is_refused() -> None:
    """Flan-T5 small: 6 heads of 64 in a model of width 512."""
    with pytest.raises(ValueError, match=r"512 wide, and the 6 heads of this t5 .* token_dim: 384"):
        Peft(type="prefix_tuning", num_virtual_tokens=2).attach(hollow("flan-t5-small"), PLAN)
    wide = Peft(type="prefix_tuning", num_virtual_tokens=2, token_dim=384)
    [prompt] = wide.attach(hollow("flan-t5-small"), PLAN).adapter.values()
    assert prompt.shape == (2, 8 * 2 * 384)


def hollow(config: str) -> nn.Module:
    family = get_family("seq2seq" if "t5" in config else "classification")
    with torch.device("meta"):
        return build_model(ModelSpec(config=config), family, 2, "auto", torch.float32, False)


def test_type_in_any_case_and_nested_options() -> None:
    lower, upper = Peft(type="lora", r=4), Peft(type="LoRA", r=4)
    assert lower == upper
    assert lower.label == "peft-lora-r4"
    assert Peft(type="lora", r=4, lora_alpha=64, use_dora=True).label == (
        "peft-lora-r4-lora_alpha=64-use_dora=True"
    )
    assert Peft(type="lora", r=4, autocast_adapter_dtype=False).label == "peft-lora-r4-uncast"
    assert "autocast_adapter_dtype" not in lower.model_dump(), "a default is in no key"


def test_named_targets_beside_pefts_own() -> None:
    six = Peft(type="lora", r=4, target_modules="six").attach(build("tiny-vit", "image"), PLAN)
    assert sum(p.numel() for p in six.parameters()) == 4 * 4 * (4 * 64 + 2 * 96)
    every = Peft(type="lora", r=4, target_modules="all-linear").attach(build(), PLAN)
    assert not [name for name in every.adapter if "pooler" in name or "classifier" in name]
    own = Peft(type="lora", r=4).attach(build(), PLAN)  # peft's default for BERT: query, value
    assert sum(p.numel() for p in own.parameters()) == 4 * 2 * 4 * 64


def test_lora_is_the_same_through_both_methods() -> None:
    """The named method and the generic one attach the same tensors with the same values."""
    handles = []
    for method in (
        get_method("lora")(r=4, alpha=16, targets="qv"),
        get_method("peft")(type="lora", r=4, lora_alpha=16, target_modules="qv"),
    ):
        torch.manual_seed(5)
        handle = method.attach(build(seed=1), PLAN)
        backward(handle)
        handles.append(handle)
    first, second = (handle.adapter for handle in handles)
    assert list(first) == list(second)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name])
        assert torch.equal(tensor.grad, second[name].grad)


@pytest.mark.parametrize("kind", ["TINYLORA", "UNILORA"])
def test_one_vector_for_the_whole_model_is_no_unit(kind: str) -> None:
    assert Peft(type=kind).attach(build(), PLAN).units() == []


def test_vector_bank_is_outside_of_the_units() -> None:
    handle = Peft(type="vblora", **SMALL["VBLORA"]).attach(build(), PLAN)
    inside = {id(p) for unit in handle.units() for p in unit}
    outside = [name for name, p in handle.adapter.items() if id(p) not in inside]
    assert [name.rpartition("vblora_")[2] for name in outside] == ["vector_bank.default"]


def test_adalora_loss_is_that_of_pefts_forward() -> None:
    method = Peft(
        type="adalora", init_r=4, target_r=2, tfinal=1, orth_reg_weight=0.7, target_modules="six"
    )
    handle: Any = method.attach(build(), PLAN)
    handle.model.eval()
    labels = torch.tensor([0, 1])
    plain = handle.model(**batch(), labels=labels).loss
    wrapped = handle.peft.base_model(**batch(), labels=labels).loss
    torch.testing.assert_close(plain + handle.loss(), wrapped)
    assert handle.loss() > 0


def test_adalora_spends_its_budget() -> None:
    """With the plan's length as total_step, ranks fall to the target by the final phase."""
    method = Peft(type="adalora", init_r=4, target_r=2, tinit=1, tfinal=2, deltaT=1)
    handle = method.attach(build(), Plan(num_steps=8, steps_per_epoch=8, num_epochs=1))
    optimizer = torch.optim.SGD(handle.parameters(), lr=0.5)
    for step in range(8):
        backward(handle)
        optimizer.step()
        handle.on_step(step)
        optimizer.zero_grad()
    kept = [int((p != 0).sum()) for name, p in handle.adapter.items() if ".lora_E." in name]
    assert sum(kept) == 2 * len(kept)


def test_adalora_counters_do_not_train_over_bfloat16() -> None:
    handle = Peft(type="adalora", tfinal=1).attach(build(dtype=torch.bfloat16), PLAN)
    counters = {n: p for n, p in handle.model.named_parameters() if ".ranknum." in n}
    assert counters
    assert not any(p.requires_grad for p in counters.values())
    assert not set(counters) & set(handle.adapter)
