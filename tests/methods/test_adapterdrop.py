"""AdapterDrop: draws, what a dropped adapter does and does not, evaluation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tiny import batch, build, logits
from torch import Tensor

from methods import Handle, Plan
from methods.adapterdrop import AdapterDrop
from methods.base import Stage

PLAN = Plan(num_steps=60, steps_per_epoch=5, num_epochs=12, seed=3)
LORA = {"lora": {"r": 4, "targets": "qv"}}


def attached(model: str = "tiny-bert", **options: Any) -> Handle:
    torch.manual_seed(0)
    handle = AdapterDrop(**{"over": LORA, **options}).attach(build(model), PLAN)
    for parameter in handle.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return handle


def step(handle: Handle, form: Any) -> None:
    """Run one training step that leaves out the layers of `form`."""
    handle.pretend(form)
    handle.model(**batch(), labels=torch.tensor([0, 1])).loss.backward()
    handle.on_step(0)


def test_draws_are_uniform_and_follow_from_seed_and_step() -> None:
    handle = attached()
    drawn = [handle.variant(step) for step in range(4000)]
    again = attached()
    assert drawn == [again.variant(step) for step in range(4000)]
    counts = [sum(len(form) == n for form in drawn) for n in range(5)]  # type: ignore[arg-type]
    assert counts[4] == 0, "at least the uppermost layer keeps its adapter"
    assert all(900 < count < 1100 for count in counts[:4])
    assert all(form == tuple(range(len(form))) for form in drawn)  # type: ignore[arg-type]


def test_subsets_have_holes() -> None:
    handle = attached(mode="subset")
    drawn = [handle.variant(step) for step in range(40)]
    assert any(form != tuple(range(len(form))) for form in drawn)  # type: ignore[arg-type]


@pytest.mark.parametrize("over", [LORA, {"elora": {"r": 8}}, "bitfit", {"aflora": {"r": 4}}])
def test_dropped_adapters_get_no_gradient_and_stay(over: Any) -> None:
    handle = attached(over=over)
    params = [p for p in handle.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=0.1, weight_decay=0.1)
    before = [[p.detach().clone() for p in unit] for unit in handle.units()]
    for _ in range(2):
        step(handle, (0, 1))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    for index, (unit, old) in enumerate(zip(handle.units(), before, strict=True)):
        same = all(torch.equal(p, q) for p, q in zip(unit, old, strict=True))
        assert same == (index < 2)


def test_all_dropped_is_the_base_model_and_none_is_the_adapted_one() -> None:
    handle, plain = attached(), build()
    plain.load_state_dict(
        {k.replace(".base_layer", ""): v for k, v in handle.model.state_dict().items()
         if "lora_" not in k}
    )  # fmt: skip
    adapted = logits(handle.model)
    handle.pretend(range(4))
    assert torch.equal(logits(handle.model), logits(plain))
    handle.pretend(None)
    assert torch.equal(logits(handle.model), adapted)


def held(handle: Handle, form: Any) -> int:
    """Return the bytes that autograd keeps for a step of this form, parameters left out."""
    kept: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in handle.model.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    handle.model.train()
    handle.pretend(form)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        handle.model(**batch(), labels=torch.tensor([0, 1]))
    handle.pretend(None)
    return sum(kept.values())


def test_a_dropped_prefix_keeps_nothing() -> None:
    handle = attached()
    whole, half, three = (held(handle, tuple(range(n))) for n in (0, 2, 3))
    assert half < 0.6 * whole
    assert three < 0.35 * whole


def test_drawn_steps_are_counted_and_kept() -> None:
    handle = attached()
    for number in range(7):
        handle.before_forward(number)
        handle.on_step(number)
    expected = sum(4 - len(handle.variant(n)) for n in range(7)) / 7  # type: ignore[arg-type]
    assert handle.report()["layers_per_step"] == pytest.approx(expected)


def test_evaluation_may_do_without_the_lowest() -> None:
    handle = attached(layers_dropped=2)
    whole = logits(handle.model)
    handle.evaluating(on=True)
    without = logits(handle.model)
    handle.evaluating(on=False)
    assert not torch.equal(whole, without)
    assert torch.equal(logits(handle.model), whole)
    handle.pretend((0, 1))
    assert torch.equal(logits(handle.model), without)


def test_specialised_has_no_adapters_below() -> None:
    handle = attached(mode="specialised", layers_dropped=3)
    assert [len(unit) for unit in handle.units()] == [0, 0, 0, 4]


def test_forecast_s_stages_force_the_draw() -> None:
    method = AdapterDrop(over=LORA)
    assert [stage.name for stage in method.stages(PLAN)] == ["none dropped", "half dropped"]
    handle = attached()
    handle.force(Stage("half dropped", 0.5))
    assert {handle.variant(step) for step in range(20)} == {(0, 1)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"over": LORA, "mode": "specialised"}, "layers_dropped, such as 5"),
        ({"over": "full", "mode": "specialised", "layers_dropped": 1}, "has no option layers"),
        ({"over": LORA, "mode": "prefx"}, "'prefix', 'subset' or 'specialised'"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AdapterDrop(**options)


def test_more_than_there_are_cannot_be_dropped() -> None:
    with pytest.raises(ValueError, match="layers_dropped 9: this model has 4 layers"):
        AdapterDrop(over=LORA, layers_dropped=9).attach(build(), PLAN)
