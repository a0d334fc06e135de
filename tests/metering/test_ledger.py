"""Births, deaths and categories of storages."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from harness.metering.ledger import Ledger

KIB = 1024


def sizes(ledger: Ledger, kind: str) -> list[int]:
    return [event.block.size for event in ledger.events if event.block and event.kind == kind]


def test_a_storage_counts_once_and_until_its_last_view_dies() -> None:
    with Ledger() as ledger:
        base = torch.zeros(1024)
        view = base.view(32, 32)[3:].t()
        del base
        assert sizes(ledger, "free") == []
        del view
    assert sizes(ledger, "alloc") == sizes(ledger, "free") == [4 * KIB]


def test_cuda_rounding_and_device_filter() -> None:
    with Ledger(rounding=512, device="cpu") as ledger:
        kept = torch.zeros(129)
        torch.zeros(129, device="meta")
    assert sizes(ledger, "alloc") == [1024]
    assert ledger.report().at_rest == 1024
    del kept


def test_resizes_hold_both_copies_for_a_moment() -> None:
    with Ledger() as ledger:
        out = torch.empty(0)
        torch.add(torch.ones(256), 1, out=out)  # resized by the operator
        out.resize_(512)
        out.untyped_storage().resize_(0)  # as reversible blocks do: no operator at all
    assert ledger.report().peak == 3 * KIB
    assert ledger.report().at_rest == 0


def test_random_state_snapshots_are_host_memory() -> None:
    with Ledger() as host:
        kept = torch.get_rng_state()
    with Ledger(rounding=512) as card:
        kept = torch.get_rng_state()
    assert sizes(host, "alloc") == [kept.nbytes]
    assert card.events == []
    assert torch.get_rng_state.__module__ == "torch.random"


def test_engine_sums_gradients_in_place() -> None:
    """A dispatch mode makes the engine sum out of place; the log must not show that."""
    leaf = torch.zeros(KIB, requires_grad=True)
    with Ledger({"weights.base": [leaf]}) as ledger:
        ledger.mark("forward")
        middle = leaf * 1
        # Three gradients of `middle`, none of which autograd needs a saved tensor for.
        loss = (middle * 2 + middle * 3 + middle * 4).sum()
        ledger.mark("backward")
        since = len(ledger.events)
        loss.backward()
        ledger.mark("optimizer")
    born = [e.block for e in ledger.events[since:] if e.kind == "alloc" and e.block]
    # The three products, and nothing for their two sums; `leaf * 1` makes the last.
    assert [block.size for block in born if block.size >= KIB] == [4 * KIB] * 4
    report = ledger.report()
    assert report.split["gradients"] == 0
    assert report.at_rest == 4 * KIB * 3 + 4  # leaf, its gradient, middle; the loss


def test_a_storage_from_before_is_not_born_by_its_view() -> None:
    old = torch.zeros(256)
    with Ledger() as ledger:
        old.view(16, 16)
    assert ledger.report().undeclared == KIB
    assert [e.block.op for e in ledger.events if e.block] == ["existing"]


def test_recomputed_activations_are_activations() -> None:
    layer = nn.Sequential(nn.Linear(64, 256, bias=False), nn.GELU(), nn.Linear(256, 64, bias=False))
    x = torch.randn(128, 64, requires_grad=True)
    with Ledger({"weights.base": layer.parameters(), "inputs": [x]}) as ledger:
        ledger.mark("forward")
        loss = checkpoint(layer, x, use_reentrant=False).sum()
        ledger.mark("backward")
        loss.backward()
        ledger.mark("optimizer")
    made = {e.block for e in ledger.events if e.block and e.block.recomputed}
    hidden = [block for block in made if block.size == 128 * 256 * 4]
    assert [block.category for block in hidden] == ["activations"] * 2  # in and out of GELU
    assert ledger.report().saved < 128 * 256 * 4


def test_what_is_made_before_the_forward_mark_is_input() -> None:
    weight = torch.ones(256, requires_grad=True)
    with Ledger({"weights.base": [weight]}) as ledger:
        for _ in range(2):
            batch = torch.zeros(256)
            ledger.mark("forward")
            loss = (weight * batch).sum()
            ledger.mark("backward")
            loss.backward()
            del batch, loss
        ledger.mark("optimizer")
    report = ledger.report()
    assert report.split["inputs"] == report.split["gradients"] == KIB
    assert report.at_rest == 2 * KIB


def test_evaluation_has_no_activations(make_step: Callable[..., Any]) -> None:
    step = make_step("bert")
    with torch.no_grad(), Ledger(step.known(), inputs=step.batch.values()) as ledger:
        ledger.mark("forward")
        step.model(**step.batch)
        ledger.mark("end")
    report = ledger.report()
    assert report.saved == report.split["activations"] == 0
    assert report.peak_mark == "forward"
    assert report.split["temporary"] > 0
    assert report.at_rest == sum(report.split.values()) - report.split["temporary"]


def test_accumulated_gradients_are_gradients_from_birth(make_step: Callable[..., Any]) -> None:
    step = make_step("bert")
    ledger = Ledger(step.known(), optimizer=step.optimizer, inputs=step.batch.values())
    with ledger:
        for _ in range(2):
            ledger.mark("forward")
            loss = step.model(**step.batch).loss
            ledger.mark("backward")
            loss.backward()
        ledger.mark("optimizer")
    trainable = sum(p.numel() for p in step.parameters())
    report = ledger.report()
    assert report.split["gradients"] >= 4 * trainable  # the second pass peaks with all of them
    assert report.saved < 2 * report.split["activations"]


@pytest.mark.parametrize("lora", [False, True])
def test_split_of_a_step(lora: bool, make_step: Callable[..., Any]) -> None:
    step = make_step("bert", lora=lora)
    named = list(step.model.named_parameters())
    trainable = sum(p.numel() for _, p in named if p.requires_grad)
    adapter = sum(p.numel() for name, p in named if "lora_" in name)
    ledger = Ledger(step.known(), optimizer=step.optimizer, inputs=step.batch.values())
    with ledger:
        step(ledger.mark)
    report = ledger.report()
    assert sum(report.split.values()) == report.peak
    # AdamW's two moments, and its step counter of 4 B per tensor.
    assert report.split["optimizer"] == 8 * trainable + 4 * len(step.parameters())
    assert report.split["weights.adapter"] == 4 * adapter
    gradients = {e.block for e in ledger.events if e.block and e.block.category == "gradients"}
    assert sum(block.size for block in gradients) == 4 * trainable
    assert report.split["inputs"] == sum(t.nbytes for t in step.batch.values())
    assert report.peak == max(report.peaks.values())
    # The loss is still held when the step ends.
    rest = sum(report.split[k] for k in ("weights.base", "weights.adapter", "optimizer", "inputs"))
    assert report.at_rest == rest + 4


FROZEN = {  # METHODS 0.5: saved activations relative to no layer frozen
    "prefix": (range(4), 0.491),
    "suffix": (range(4, 8), 0.950),
    "odd": (range(1, 8, 2), 0.950),
    "even": (range(0, 8, 2), 0.835),
    "all but last": (range(7), 0.109),
    "all but first": (range(1, 8), 0.913),
}


def saved_activations(make_step: Callable[..., Any], frozen: range) -> int:
    step = make_step("bert", lora=True, num_layers=8)
    for name, parameter in step.model.named_parameters():
        if any(f"layer.{i}." in name for i in frozen):
            parameter.requires_grad_(False)
    with Ledger(step.known(), inputs=step.batch.values()) as ledger:
        ledger.mark("forward")
        loss = step.model(**step.batch).loss
        ledger.mark("backward")
        del loss
    return ledger.report().saved


def test_only_a_frozen_prefix_saves_activations(make_step: Callable[..., Any]) -> None:
    everything = saved_activations(make_step, range(0))
    for name, (frozen, ratio) in FROZEN.items():
        saved = saved_activations(make_step, frozen)
        assert saved / everything == pytest.approx(ratio, abs=0.01), name


def test_frozen_adapters_leave_nothing_saved(make_step: Callable[..., Any]) -> None:
    step = make_step("bert", lora=True)
    step.model.requires_grad_(False)
    with Ledger(step.known(), inputs=step.batch.values()) as ledger:
        ledger.mark("forward")
        outputs = step.model(**step.batch)
        ledger.mark("backward")
    assert ledger.report().saved == outputs.loss.nbytes + outputs.logits.nbytes


def test_fake_tensors_give_the_same_log(make_step: Callable[..., Any]) -> None:
    reports = []
    for mode in (nullcontext(), FakeTensorMode()):
        with mode:
            step = make_step("bert", checkpointing=True)
            ledger = Ledger(step.known(), optimizer=step.optimizer, inputs=step.batch.values())
            with ledger:
                step(ledger.mark)
        reports.append(ledger.report())
    real, fake = reports
    assert fake.split == real.split
    assert fake.peaks == real.peaks
    assert fake.at_rest == real.at_rest


def test_paths_name_modules_and_parameters(make_step: Callable[..., Any]) -> None:
    step = make_step("bert", checkpointing=True)
    ledger = Ledger(step.known(), optimizer=step.optimizer, model=step.model)
    with ledger:
        step(ledger.mark)
    blocks = [e.block for e in ledger.events if e.kind == "alloc" and e.block]
    named = {name: p.nbytes for name, p in step.model.named_parameters()}
    gradients = {b.path: b.size for b in blocks if b.category == "gradients"}
    assert gradients == named
    gelu = [b for b in blocks if b.op == "aten::gelu"]
    layers = {f"bert.encoder.layer.{i}.intermediate.intermediate_act_fn" for i in range(3)}
    assert {b.path for b in gelu if not b.recomputed} == layers
    assert {b.path for b in gelu if b.recomputed} == layers
    assert {b.path for b in blocks if b.op == "aten::gelu_backward"} == layers
    assert ledger.report().holders[0].num_bytes >= ledger.report().holders[1].num_bytes


def test_full_fine_tuning_agrees_with_mem_tracker(make_step: Callable[..., Any]) -> None:
    from torch.distributed._tools.mem_tracker import MemTracker

    step = make_step("bert")
    tracker = MemTracker()
    tracker.track_external(step.model, step.optimizer, *step.batch.values())
    with tracker:
        step()
    theirs = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]
    ledger = Ledger(step.known(), optimizer=step.optimizer, inputs=step.batch.values())
    with ledger:
        step(ledger.mark)
    assert ledger.report().peak == theirs


def test_wrong_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'weight'; allowed: weights\.base"):
        Ledger({"weight": []})
    ledger = Ledger()
    with pytest.raises(ValueError, match="'bakward'; allowed: forward, backward"):
        ledger.mark("bakward")
    with ledger:
        pass
    with pytest.raises(RuntimeError, match="make a new one"), ledger:
        pass


class _Reversible(torch.autograd.Function):
    """Recomputes in backward by a nested engine call, as reversible blocks do."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            inputs = [t.detach().requires_grad_() for t in ctx.saved_tensors]
            y = (inputs[0] @ inputs[1]).sin()
        return torch.autograd.grad(y, inputs, grad)


def test_a_nested_engine_call_is_recomputation() -> None:
    x, weight = torch.randn(64, 128), torch.randn(128, 128, requires_grad=True)
    with Ledger({"weights.base": [weight], "inputs": [x]}) as ledger:
        ledger.mark("forward")
        loss = _Reversible.apply(x, weight).sum()
        ledger.mark("backward")
        loss.backward()
        ledger.mark("optimizer")
    product = {e.block for e in ledger.events if e.block and e.block.op == "aten::mm"}
    assert [b.category for b in product if b.recomputed] == ["activations"]
