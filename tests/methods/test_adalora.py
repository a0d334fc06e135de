"""AdaLoRA's invariants: budget, scores, masks, compaction, checkpoints."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from cells import RESUMED, EndsAfter, cell_of, run, same
from sizes import attach as attach_full_size
from sizes import size
from tiny import PLAN, backward, build, drive, logits
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from harness.training.checkpoint import Checkpoints
from harness.training.loop import Interrupted
from harness.training.optim import apply_change
from methods import Change, Plan, get_method
from methods.adalora.handle import AdaLoraHandle
from methods.adalora.method import AdaLora
from methods.adalora.open import MEANS, Open, update_means
from methods.peft_any.method import Peft

DEBERTA = "deberta-v3-base"
LONG = Plan(num_steps=20, steps_per_epoch=10, num_epochs=2)
# The budget stays to step 2, falls to step 14, and is met from there on.
SMALL: dict[str, Any] = {
    "init_r": 4, "target_r": 2, "targets": "qv", "delta_t": 2, "orth": 0.1,
    "tinit": {"fraction": 0.1}, "tfinal": {"fraction": 0.3},
}  # fmt: skip
LAST = 14
QUERY, VALUE = (f"bert.encoder.layer.0.attention.self.{name}" for name in ("query", "value"))


def attach(name: str = "tiny-bert", plan: Plan = LONG, **options: Any) -> AdaLoraHandle:
    model = build(name)
    torch.manual_seed(0)
    handle = AdaLora(**{**SMALL, **options}).attach(model, plan)
    assert isinstance(handle, AdaLoraHandle)
    return handle


def adamw(handle: AdaLoraHandle) -> Optimizer:
    trained = [p for p in handle.model.parameters() if p.requires_grad]
    return torch.optim.AdamW(trained, lr=0.01, weight_decay=0.1)


def drive_ranks(handle: AdaLoraHandle, optimizer: Optimizer, steps: range) -> list[int]:
    """Run these steps; returns the ranks of the whole model after each."""
    found: list[int] = []
    drive(handle, optimizer, steps, lambda: found.append(sum(handle.ranks().values())))
    return found


def values(handle: AdaLoraHandle) -> dict[str, nn.Parameter]:
    return {name: p for name, p in handle.adapter.items() if ".lora_E." in name}


def triplet(handle: AdaLoraHandle, name: str) -> list[Tensor]:
    return [handle.adapter[f"{name}.lora_{key}.default"] for key in "AEB"]


def mask(handle: AdaLoraHandle, name: str, *ranks: int) -> None:
    with torch.no_grad():
        handle.adapter[f"{name}.lora_E.default"][list(ranks)] = 0.0


def randomize(handle: AdaLoraHandle) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))


# -- start and loss ------------------------------------------------------------------------------


def test_start() -> None:
    handle = attach(targets="six")
    assert torch.equal(logits(handle.model), logits(build()))
    for name, parameter in handle.adapter.items():
        if ".lora_E." in name:
            assert not parameter.any()
        else:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.3), name


def test_orthonormal_factors_have_no_loss() -> None:
    handle = attach()
    for name, parameter in handle.adapter.items():
        if ".lora_E." not in name:
            nn.init.orthogonal_(parameter)
    loss = handle.loss()
    assert loss is not None
    assert loss.item() == pytest.approx(0, abs=1e-6)
    a, _, b = triplet(handle, QUERY)
    with torch.no_grad():
        a.mul_(2)  # A A^T = 4 I, so the norm of the difference is 3 sqrt(4)
    loss = handle.loss()
    assert loss is not None
    assert loss.item() == pytest.approx(0.1 * 6 / 16, rel=1e-4)
    loss.backward()
    assert a.grad is not None
    assert a.grad.any()
    assert b.grad is not None


# -- budget --------------------------------------------------------------------------------------


def test_budget_falls_from_all_ranks_to_the_target() -> None:
    handle = attach()
    modules = len(values(handle))
    ranks = drive_ranks(handle, adamw(handle), range(20))
    assert ranks[:3] == [4 * modules] * 3
    assert ranks[LAST:] == [2 * modules] * 6
    expected = {
        step: int(2 * modules * (1 - (step - 2) / 12) ** 3 + 2 * modules)
        for step in range(4, LAST + 1, 2)
    }
    assert [ranks[step] for step in expected] == list(expected.values())
    report = handle.report()
    budgets = [4 * modules, *dict.fromkeys(expected.values())]  # when it changed
    assert [budget for _, budget in report["budget"]] == budgets == sorted(budgets, reverse=True)
    assert report["budget"][:2] == [[0, 4 * modules], [4, expected[4]]]
    assert report["total_rank"] == report["target"] == 2 * modules
    assert handle.shortfalls() == []
    sides = {name: p.shape[1] for name, p in handle.adapter.items() if ".lora_A." in name}
    assert set(sides.values()) == {(side := next(iter(sides.values())))}
    assert report["effective_parameters"] == 2 * modules * (2 * side + 1)


def test_masked_triplets_may_return_until_the_final_phase() -> None:
    handle = attach()
    optimizer = adamw(handle)
    ranks = drive_ranks(handle, optimizer, range(10))
    assert ranks[8] < 4 * len(values(handle)), "nothing was masked"
    assert ranks[9] > ranks[8], "the optimizer moves no masked value between two allocations"
    drive(handle, optimizer, range(10, LAST + 1))
    masked = {name: p == 0 for name, p in values(handle).items()}
    for step in range(LAST + 1, 20):
        drive(handle, optimizer, range(step, step + 1))
        assert all(torch.equal(p == 0, masked[name]) for name, p in values(handle).items())
    assert any(mask.any() for mask in masked.values())


def test_scores_are_those_of_the_paper() -> None:
    handle = attach(beta1=0.7, beta2=0.9)
    optimizer = adamw(handle)
    means = {name: torch.zeros_like(p) for name, p in handle.adapter.items()}
    spreads = {name: torch.zeros_like(p) for name, p in handle.adapter.items()}
    for step in range(5):
        backward(handle)
        optimizer.step()
        for name, p in handle.adapter.items():
            assert p.grad is not None
            now = (p * p.grad).abs().detach()
            means[name] = 0.7 * means[name] + 0.3 * now
            spreads[name] = 0.9 * spreads[name] + 0.1 * (now - means[name]).abs()
        before = {name: p.detach().clone() for name, p in values(handle).items()}
        handle.on_step(step)
        optimizer.zero_grad()
    stored = handle.overhead()
    for name in handle.adapter:
        torch.testing.assert_close(stored[f"{name}.exp_avg_ipt"], means[name])
        torch.testing.assert_close(stored[f"{name}.exp_avg_unc"], spreads[name])
    scores = {}
    for name in handle.report()["ranks"]:
        a, e, b = (f"{name}.lora_{key}.default" for key in "AEB")
        of = {key: means[key] * spreads[key] for key in (a, e, b)}
        scores[e] = of[e].flatten() + of[a].mean(dim=1) + of[b].mean(dim=0)
    budget = handle.budgets[-1][1]
    assert handle.budgets[-1][0] == 4
    lowest = torch.cat(list(scores.values())).sort().values[: 32 - budget]
    for name, parameter in values(handle).items():
        falls = torch.isin(scores[name], lowest)
        expected = before[name].flatten().masked_fill(falls, 0.0)
        assert torch.equal(parameter.flatten(), expected), name


def test_means_are_the_methods_memory_until_the_final_phase() -> None:
    handle = attach()
    optimizer = adamw(handle)
    means = {n: t for n, t in handle.overhead().items() if n not in handle.buffers}
    assert size(means) == 3 * size(handle.adapter)
    places = {name: tensor.data_ptr() for name, tensor in means.items()}
    drive(handle, optimizer, range(3))
    assert {n: handle.overhead()[n].data_ptr() for n in places} == places
    assert all(tensor.any() for tensor in means.values())
    drive(handle, optimizer, range(3, LAST + 1))
    assert set(handle.overhead()) == set(handle.buffers)


class Dispatched(TorchDispatchMode):
    """Names of operators that are called."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func._schema.name)
        return func(*args, **(kwargs or {}))


def _allocator(open_: Open) -> Any:
    means = ({name: torch.ones_like(p) for name, p in open_.items()} for _ in MEANS)
    return SimpleNamespace(beta1=0.5, beta2=0.5, **dict(zip(MEANS, means, strict=True)))


def _open(**gradients: list[float]) -> Open:
    open_ = Open((name, nn.Parameter(torch.full((2,), 2.0))) for name in gradients)
    for p, gradient in zip(open_.values(), gradients.values(), strict=True):
        p.grad = torch.tensor(gradient)
    return open_


def test_an_overflow_does_not_stay_in_the_means() -> None:
    open_ = _open(a=[torch.inf, 3.0], b=[-1.5, 3.0], c=[torch.nan, 3.0])
    allocator = _allocator(open_)
    update_means(allocator, open_)
    for name in "ac":
        assert all(getattr(allocator, key)[name].isfinite().all() for key in MEANS)
        assert torch.equal(allocator.ipt[name], torch.ones(2))
    assert torch.equal(allocator.ipt["b"], torch.tensor([3.0, 6.0]))
    assert torch.equal(allocator.exp_avg_ipt["b"], torch.tensor([2.0, 3.5]))
    assert torch.equal(allocator.exp_avg_unc["b"], torch.tensor([1.0, 1.75]))


def test_the_means_take_one_operator_for_each_tensor_at_most() -> None:
    open_ = _open(**{f"p{i}": [1.0, 2.0] for i in range(40)})
    allocator = _allocator(open_)
    with Dispatched() as seen:
        update_means(allocator, open_)
    # peft's own loop has 11, and a check of each of its three means had 6 more for each of them.
    assert len(seen.names) <= len(open_) + 20, seen.names


def test_schedules_that_cannot_be_met() -> None:
    for spans in ({"tfinal": {"fraction": 0}}, {"tinit": {"fraction": 0.7}}):
        with pytest.raises(ValueError, match="the budget needs steps between them"):
            attach(**spans)
    for target in (4, 5):
        with pytest.raises(ValueError, match=r"target_r \d is not below init_r 4"):
            attach(target_r=target)
    with pytest.raises(ValueError, match="type ADALORA: target_r 8 is not below init_r 8"):
        Peft(type="adalora", init_r=8, target_r=8).attach(build(), PLAN)


def test_no_layer_is_left_out_or_merged_alone() -> None:
    handle = attach()
    for call in (handle.prepare_to_skip, handle.prepare_to_fold):
        with pytest.raises(ValueError):
            call()


def test_a_frozen_layer_keeps_its_ranks_and_the_others_meet_the_budget() -> None:
    handle = attach()
    optimizer = adamw(handle)
    drive(handle, optimizer, range(5))
    frozen = handle.units()[0]
    apply_change(optimizer, Change(frozen=tuple(frozen)))
    inside = {name for name in handle.ranks() if ".layer.0." in name}
    before = {name: handle.ranks()[name] for name in inside}
    bytes_before = [p.detach().clone() for p in frozen]
    drive(handle, optimizer, range(5, 20))
    ranks = handle.ranks()
    assert {name: ranks[name] for name in inside} == before
    assert sum(before.values()) > 2 * len(inside), "they kept more than their share"
    assert all(torch.equal(p, q) for p, q in zip(frozen, bytes_before, strict=True))
    assert sum(ranks.values()) == handle.report()["target"], "the others make up for it"
    assert handle.shortfalls() == []
    assert not any(".layer.0." in name for name in handle.overhead() if "exp_avg" in name)


# -- counts and compaction -----------------------------------------------------------------------


def test_counts() -> None:
    handle = attach_full_size(DEBERTA, "adalora")  # holds expected_count against it
    assert size(handle.adapter) == 1_991_520
    assert len(handle.buffers) == 72


def test_report_of_a_checkpoint_from_before_the_final_phase() -> None:
    handle = attach()
    randomize(handle)
    mask(handle, QUERY, 0, 1, 2)
    report = handle.report()
    assert report["ranks"][QUERY] == 1
    assert report["total_rank"] == 4 * 8 - 3
    assert "29 ranks are not the 16 of its target" in handle.shortfalls()[0]


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-gpt2"])
def test_compaction_keeps_the_function(name: str) -> None:
    handle = attach(name)
    randomize(handle)
    first, second, *rest = handle.report()["ranks"]
    mask(handle, first, 1, 2, 3)
    mask(handle, second, 0, 1, 2, 3)
    before, report = logits(handle.model), handle.report()
    change = handle.compact()
    assert change
    assert change.reshaped
    assert len(change.resized) == len(change.frozen) == 3
    # A resumed run replaces them in the model's order, and clipping sums in the groups' order.
    order = [id(parameter) for parameter in handle.model.parameters()]
    places = [order.index(id(resized.new)) for resized in change.resized]
    assert places == sorted(places)
    assert [len(handle.adapter[f"{first}.lora_A.default"])] == [1]
    torch.testing.assert_close(logits(handle.model), before, atol=1e-6, rtol=0)
    assert not [n for n in (*handle.adapter, *handle.overhead()) if n.startswith(f"{second}.")]
    assert [n for n in handle.overhead() if n.startswith(f"{first}.")] == [
        f"{first}.ranknum.default"
    ]
    names = dict(handle.model.named_parameters())
    assert all(names[n] is p for n, p in handle.adapter.items())
    assert sum(len(unit) for unit in handle.units()) == len(handle.adapter)
    assert handle.compact() is None, "there is nothing left to take"
    assert handle.report() == report
    assert report["ranks"] == {first: 1, second: 0, **dict.fromkeys(rest, 4)}
    deployed = handle.finish(handle.model)
    torch.testing.assert_close(logits(deployed), before, atol=1e-5, rtol=0)
    assert list(deployed.state_dict()) == list(build(name).state_dict())


def test_what_is_left_trains_on_with_fixed_ranks() -> None:
    """As it does beside triplets that are masked after every step, its optimizer's state kept."""
    handles = {compacts: attach(orth=0) for compacts in (False, True)}
    for compacts, handle in handles.items():
        optimizer = adamw(handle)
        drive(handle, optimizer, range(LAST + 1))
        if compacts:
            change = handle.compact()
            assert change
            apply_change(optimizer, change)
        drive(handle, optimizer, range(LAST + 1, 18))
    whole, cut = handles[False], handles[True]
    assert cut.report() == whole.report()
    for name in whole.ranks():
        live = values(whole)[f"{name}.lora_E.default"].flatten().nonzero().flatten()
        if not len(live):
            assert f"{name}.lora_E.default" not in cut.adapter
            continue
        for mine, theirs, dim in zip(
            triplet(cut, name), triplet(whole, name), (0, 0, 1), strict=True
        ):
            torch.testing.assert_close(mine.data, theirs.data.index_select(dim, live))


def test_reload_takes_out_the_same_ranks() -> None:
    handle = attach()
    randomize(handle)
    mask(handle, QUERY, 1)
    handle.compact()
    mask(handle, QUERY, 1)  # rank 2, counted as attached
    mask(handle, VALUE, 0, 1, 2, 3)
    handle.compact()
    state = handle.state_dict()
    assert state["kept"] == {QUERY: [0, 3], VALUE: []}
    fresh = attach()
    fresh.load_state_dict(state)
    shapes = [{n: p.shape for n, p in each.adapter.items()} for each in (fresh, handle)]
    assert shapes[0] == shapes[1]
    for mine, theirs in zip(fresh.parameters(), handle.parameters(), strict=True):
        mine.data.copy_(theirs.data)
    assert torch.equal(logits(fresh.model), logits(handle.model))
    assert fresh.report() == handle.report()
    assert set(fresh.overhead()) == set(handle.overhead())


# -- in the loop ---------------------------------------------------------------------------------

OWN = "{adalora: {init_r: 4, target_r: 2, targets: qv, delta_t: 2, dropout: 0.1}}"
PEFT = "{peft: {type: ADALORA, tinit: 2, tfinal: 4, target_modules: qv}}"
SHORT = ("train.epochs=4", "train.evaluate=end")  # of three steps; ranks are fixed from step 8 on


@pytest.mark.parametrize("stop", [11, 16])
def test_under_safe_it_runs_and_resumes_with_the_same_bytes(tmp_path: Path, stop: int) -> None:
    """SAFE froze two layers by step 12; ranks are fixed from step 17 on."""
    safe = f"{{safe: {{over: {OWN}, tau: {{quantile: 0.5}}, max_warmup: 2, probe: 4}}}}"
    cell = cell_of(tmp_path, safe, *RESUMED)
    whole = run(cell)
    report = whole.handle.report()
    frozen = report["frozen_at_epoch"]
    assert len(frozen) == 2
    shut = [f".layer.{layer}." for layer in frozen]
    ranks = {n: r for n, r in report["ranks"].items() if any(part in n for part in shut)}
    assert sum(ranks.values()) > 2 * len(ranks), "as many as they froze with"
    assert report["total_rank"] == report["target"], "the others share the rest"
    assert whole.handle.shortfalls() == []
    with pytest.raises(Interrupted):
        run(cell, EndsAfter(tmp_path / "checkpoint", stop))
    again = run(cell, Checkpoints(tmp_path / "checkpoint", every=1e9))
    assert again.state.result.resumed_at == [stop]
    same(again, whole)


def test_resumes_with_the_same_bytes(tmp_path: Path) -> None:
    """While the budget falls."""
    cell = cell_of(tmp_path, OWN, *RESUMED, *SHORT)
    whole = run(cell)
    report = whole.handle.report()
    assert report["total_rank"] == report["target"]
    with pytest.raises(Interrupted):
        run(cell, EndsAfter(tmp_path / "checkpoint", 5))
    again = run(cell, Checkpoints(tmp_path / "checkpoint", every=1e9))
    assert again.state.result.resumed_at == [5]
    same(again, whole)


@pytest.mark.parametrize("compacts", [False, True])
def test_peft_type_resumes_in_the_final_phase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compacts: bool
) -> None:
    """Also as if a method around it had compacted when ranks were just fixed."""
    if compacts:
        monkeypatch.setattr(
            AdaLoraHandle, "on_epoch", lambda self, epoch, _: self.compact() if epoch == 2 else None
        )
    cell = cell_of(tmp_path, PEFT, *RESUMED, *SHORT)
    whole = run(cell)
    assert whole.handle.state_dict()["kept"], "nothing was taken out"
    with pytest.raises(Interrupted):
        run(cell, EndsAfter(tmp_path / "checkpoint", 10))
    again = run(cell, Checkpoints(tmp_path / "checkpoint", every=1e9))
    assert again.state.result.resumed_at == [10]
    same(again, whole)


def test_other_allocators_start_again() -> None:
    handle = Peft(type="adamss", target_modules="qv").attach(build(), PLAN)
    assert not handle.resumable
    assert attach().resumable
    assert Peft(type="adalora", tfinal=1).attach(build(), PLAN).resumable


def test_label_and_wrong_options() -> None:
    assert AdaLora().label == "adalora-r8"
    chosen = AdaLora(target_r=4, init_r=6, tinit={"epochs": 1}, delta_t=1, orth=0.5)
    assert chosen.label == "adalora-r4-from6-ti1ep-every1-orth0.5"
    for options in ({"beta1": 1}, {"beta2": 0}, {"orth": -1}, {"tinit": 3}, {"delta_T": 1}):
        with pytest.raises(ValueError):
            get_method("adalora")(**options)
    assert set(MEANS) == {"ipt", "exp_avg_ipt", "exp_avg_unc"}
