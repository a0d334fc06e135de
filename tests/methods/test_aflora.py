"""AFLoRA's golden values and invariants."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from sizes import attach as attach_full_size
from sizes import size
from tiny import backward, build, logits
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.training.optim import apply_change
from methods import Plan, Stage, surgery
from methods.aflora.handle import AfloraHandle
from methods.aflora.layer import AfloraLayer
from methods.aflora.method import Aflora
from methods.common.schedules import Span

DEBERTA = "deberta-v3-base"
PLAN = Plan(num_steps=40, steps_per_epoch=2, num_epochs=20)  # freezes from step 3 to step 12
GSM8K = ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]
NEVER = {"freezing": "none"}


def attach(name: str = "tiny-bert", plan: Plan = PLAN, **options: Any) -> AfloraHandle:
    model = build(name)
    torch.manual_seed(0)
    handle = Aflora(**options).attach(model, plan)
    assert isinstance(handle, AfloraHandle)
    return handle


def layer(handle: AfloraHandle, name: str) -> AfloraLayer:
    module = handle.model.get_submodule(f"bert.encoder.layer.{name}")
    assert isinstance(module, AfloraLayer)
    return module


def adamw(handle: AfloraHandle) -> Optimizer:
    trained = [p for p in handle.model.parameters() if p.requires_grad]
    return torch.optim.AdamW(trained, lr=0.01, weight_decay=0.1)


def drive(handle: AfloraHandle, optimizer: Optimizer, start: int, stop: int) -> list[int]:
    """Run the loop's order of hooks; returns how many projections are frozen after each step."""
    counts = []
    for step in range(start, stop):
        backward(handle)
        if change := handle.on_gradients(step):
            apply_change(optimizer, change)
        optimizer.step()
        optimizer.zero_grad()
        counts.append(sum(not p.requires_grad for p in handle.adaptive.values()))
    return counts


@pytest.mark.parametrize(
    ("name", "options", "count", "stored"),
    [
        (DEBERTA, {"adaptive": "none"}, 83_232, 663_552),
        (DEBERTA, NEVER, 451_872, 294_912),
        (DEBERTA, {**NEVER, "adaptive": "both"}, 746_784, 0),
        (DEBERTA, {**NEVER, "adaptive": "attention"}, 83_232 + 294_912, 368_640),
        # `output.dense` is in both blocks of a layer.
        (DEBERTA, {**NEVER, "adaptive": ["output.dense"]}, 83_232 + 258_048, 405_504),
        ("bart-large", {"r": 16, "adaptive": "none"}, 273_408, 8_650_752),
        ("llama-7b", {"r": 32, "targets": GSM8K, "adaptive": "none"}, 881_664, 56_098_816),
    ],
)
def test_counts(name: str, options: dict[str, Any], count: int, stored: int) -> None:
    handle = attach_full_size(name, "aflora", **options)  # holds expected_count against it
    assert size(handle.adapter) == count
    assert size(handle.buffers) == stored


@pytest.mark.parametrize("options", [{}, {"alpha": 8}, {"adaptive": "both"}])
def test_starts_at_the_base_model(options: dict[str, Any]) -> None:
    handle = attach(**options)
    assert torch.equal(logits(handle.model), logits(build()))
    module = layer(handle, "0.intermediate.dense")
    for tensor in (module.A, module.B):
        bound = math.sqrt(6 / tensor.shape[1])
        assert 0.8 * bound < tensor.abs().max() <= bound
    backward(handle)
    for name, parameter in handle.adapter.items():
        assert parameter.grad is not None
        assert parameter.grad.any() == name.endswith(".s_b"), name


@pytest.mark.parametrize(("trains", "floats"), [("AB", 3848), ("B", 3080), ("A", 3844), ("", 3076)])
@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_floats_kept_for_backward(trains: str, floats: int, factor: float) -> None:
    base = nn.Linear(768, 3072).requires_grad_(False)
    module = AfloraLayer(base, 4, adaptive=True, factor=factor)
    for name in {"A", "B"} - set(trains):
        module.get_parameter(name).requires_grad_(False)
    known = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes() // 4
        return tensor

    tokens = torch.randn(2, 3, 768, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = module(tokens)
    assert sum(kept.values()) == 6 * floats
    output.sum().backward()


@pytest.mark.parametrize("granularity", ["independent", "simultaneous"])
def test_paper_rule_freezes_the_scheduled_number(granularity: str) -> None:
    handle = attach(granularity=granularity)
    assert handle.schedule is not None
    counts = drive(handle, adamw(handle), 0, 14)
    pairs = 2 if granularity == "simultaneous" else 1
    scheduled = [pairs * math.floor(16 / pairs * handle.schedule.share(t)) for t in range(14)]
    assert counts == scheduled
    assert counts[2] == 0 < counts[3] < counts[11] < counts[12] == 16
    at = handle.report()["frozen_at"]
    together = [at[name] == at[f"{name[:-1]}B"] for name in at if name.endswith(".A")]
    assert all(together) == (granularity == "simultaneous")
    assert set(handle.overhead()) == set(handle.buffers), "averages outlive what they score"


def test_official_rule_freezes_all_at_the_end() -> None:
    handle = attach(rule="official", interval=2)
    counts = drive(handle, adamw(handle), 0, 14)
    assert counts == sorted(counts)
    assert (counts[2], counts[12]) == (0, 16)


def test_frozen_bytes_stay() -> None:
    handle = attach()
    optimizer = adamw(handle)
    drive(handle, optimizer, 0, 6)
    frozen = {name: handle.adaptive[name].detach().clone() for name in handle.frozen_at}
    assert 0 < len(frozen) < 16
    assert all(handle.adaptive[name] not in optimizer.state for name in frozen)
    assert not {f"{name}.sensitivity" for name in frozen} & set(handle.overhead())
    start = {name: p.detach().clone() for name, p in handle.adapter.items()}
    drive(handle, optimizer, 6, 9)
    assert all(torch.equal(handle.adaptive[name], value) for name, value in frozen.items())
    live = {name: p for name, p in handle.adapter.items() if p.requires_grad}
    assert not any(torch.equal(p, start[name]) for name, p in live.items())


def test_what_another_method_froze_counts_as_frozen() -> None:
    handle = attach()
    others = list(handle.adaptive)[:4]
    for name in others:
        handle.adaptive[name].requires_grad_(False)
    counts = drive(handle, adamw(handle), 0, 4)
    assert handle.schedule is not None
    assert counts == [4, 4, 4, max(4, math.floor(16 * handle.schedule.share(3)))]
    assert [handle.frozen_at[name] for name in others] == [0] * 4
    assert not {f"{name}.sensitivity" for name in others} & set(handle.overhead())


@pytest.mark.parametrize("options", [{}, {"rule": "official", "interval": 3}])
def test_resumes(options: dict[str, Any]) -> None:
    first, second = attach(**options), attach(**options)
    drive(first, adamw(first), 0, 5)
    second.model.load_state_dict(first.model.state_dict())
    state = first.state_dict()
    second.load_state_dict({k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()})
    for name, parameter in first.adapter.items():
        second.adapter[name].requires_grad_(parameter.requires_grad)
    assert set(second.overhead()) == set(first.overhead())
    for handle in (first, second):
        torch.manual_seed(1)
        drive(handle, adamw(handle), 5, 9)
    assert second.report() == first.report()
    assert 0 < len(first.frozen_at) < 16 or options
    assert all(torch.equal(t, first.overhead()[name]) for name, t in second.overhead().items())


def test_stages_freeze_a_share() -> None:
    handle = attach()
    assert size(dict(handle.score.tensors())) == 2 * size(handle.adaptive)
    start, end = Aflora().stages(PLAN)
    assert not handle.force(start)
    assert len(handle.force(Stage("half", 0.5)).frozen) == 8
    assert len(handle.force(end).frozen) == 8
    assert set(handle.overhead()) == set(handle.buffers)
    assert len(Aflora(adaptive="none").stages(PLAN)) == len(Aflora(**NEVER).stages(PLAN)) == 1


@pytest.mark.parametrize(("model", "options"), [("tiny-bert", {}), ("tiny-gpt2", {"alpha": 8})])
def test_folding_keeps_the_function(model: str, options: dict[str, Any]) -> None:
    handle = attach(model, **options)
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    before, plain = logits(handle.model), logits(build(model))
    handle.skip([0, 1])
    some = logits(handle.model)
    handle.skip(None)
    assert torch.equal(logits(handle.model), plain)
    handle.skip(())
    assert torch.equal(logits(handle.model), before)
    assert not torch.equal(some, before)
    assert not torch.equal(some, plain)
    handle.fold([0])
    assert not handle.units()[0]
    lowest = surgery.layer_names(handle.model)[0]
    assert not [n for n in (*handle.adapter, *handle.overhead()) if n.startswith(f"{lowest}.")]
    torch.testing.assert_close(logits(handle.model), before, atol=1e-5, rtol=0)
    deployed = handle.finish(handle.model)
    torch.testing.assert_close(logits(deployed), before, atol=1e-5, rtol=0)
    assert list(deployed.state_dict()) == list(build(model).state_dict())
    assert not {**handle.adapter, **handle.overhead()}


def test_shared_weights_do_not_fold() -> None:
    handle = attach()
    weight = layer(handle, "0.output.dense").weight
    layer(handle, "1.output.dense").base_layer.register_parameter("weight", weight)
    with pytest.raises(ValueError, match="shares its weight"):
        handle.prepare_to_fold()


def test_schedule_that_leaves_no_step() -> None:
    short = Plan(num_steps=30, steps_per_epoch=10, num_epochs=3)
    for call in (lambda: Aflora().attach(build(), short), lambda: Aflora().stages(short)):
        with pytest.raises(ValueError, match=r"10 steps.*21 steps.*30 steps.*eq\. 5.*fraction"):
            call()
    attach(plan=short, **NEVER)
    attach(plan=short, adaptive="none")
    attach(plan=short, freezing="quadratic", t_i={"fraction": 0.3}, t_f={"fraction": 0.3})


def test_adaptive_is_by_name_and_within_targets() -> None:
    handle = attach(adaptive="attention", **NEVER)
    assert all(".attention." in name for name in handle.adaptive)
    with pytest.raises(ValueError, match="set adaptive: none"):
        attach(targets="qv")


def test_label_tells_options_apart() -> None:
    assert Aflora().label == "aflora-r4"
    assert Aflora(r=8, alpha=16, t_f=Span(epochs=7)).label == "aflora-r8-a16-tf7ep"
    official = Aflora(rule="official", adaptive=("fc1", "fc2"), granularity="simultaneous")
    assert official.label == "aflora-r4-adaptive_fc1+fc2-official-simultaneous"
