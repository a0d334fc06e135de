"""SparseAdapter: scores, masks that hold, what it costs."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from asked import LAYERS, request
from pydantic import ValidationError
from sizes import attach as attach_full_size
from sizes import size
from tiny import batch, build
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.optim import Optimizer

from harness.forecasting.pool import run_forked
from harness.simulation.fake import FakeRun, fake_run
from harness.training.optim import apply_change
from methods import Handle, Plan, get_method
from methods.safe.handle import SafeHandle
from methods.sparseadapter import scores as sparse_scores
from methods.sparseadapter.handle import SparseHandle
from methods.sparseadapter.method import SparseAdapter

PLAN = Plan(num_steps=40, steps_per_epoch=10, num_epochs=4, seed=3)
LORA = {"lora": {"r": 4}}
LABELS = torch.tensor([0, 1])
PROBE = [
    {**batch(), "labels": LABELS},
    {**batch(), "input_ids": batch()["input_ids"].flip(1), "labels": torch.tensor([1, 1])},
]
LATE = {"over": LORA, "pruner": "snip", "score_after": 3}


def attach(plan: Plan = PLAN, model: nn.Module | None = None, **options: Any) -> SparseHandle:
    model = model or build()
    torch.manual_seed(0)
    handle = SparseAdapter(**{"over": "houlsby", **options}).attach(model, plan)
    assert isinstance(handle, SparseHandle)
    return handle


def started(**options: Any) -> SparseHandle:
    handle = attach(**options)
    handle.on_start(PROBE)
    return handle


def adamw(handle: Handle) -> Optimizer:
    trained = [p for p in handle.model.parameters() if p.requires_grad]
    return torch.optim.AdamW(trained, lr=0.01, weight_decay=0.1)


def drive(handle: Handle, optimizer: Optimizer, start: int, stop: int) -> None:
    """Run the loop's order of hooks, with dropout that depends on the step alone."""
    handle.model.train()
    for step in range(start, stop):
        torch.manual_seed(step)
        handle.before_forward(step)
        handle.model(**batch(), labels=LABELS).loss.backward()
        if change := handle.on_gradients(step):
            apply_change(optimizer, change)
        optimizer.step()
        handle.on_step(step)
        optimizer.zero_grad(set_to_none=True)


def hidden(handle: SparseHandle) -> Tensor:
    """Return the values of all masked entries."""
    return torch.cat([handle.adapter[name][~mask].flatten() for name, mask in handle.masks.items()])


# -- masks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["global", "local"])
@pytest.mark.parametrize("pruner", ["rand", "magnitude", "snip", "grasp"])
def test_as_many_entries_stay_as_asked_for(pruner: str, scope: str) -> None:
    handle = started(over="pfeiffer", pruner=pruner, scope=scope, keep_ratio=0.3)
    counts = {name: int(mask.sum()) for name, mask in handle.masks.items()}
    total = sum(mask.numel() for mask in handle.masks.values())
    each = {name: round(0.3 * mask.numel()) for name, mask in handle.masks.items()}
    assert handle.report()["kept"] == sum(counts.values())
    assert handle.report()["of"] == total == 4 * 2 * 2 * 32
    if scope == "local":
        assert counts == each
    else:
        assert sum(counts.values()) == round(0.3 * total)
        assert counts != each
    assert all(name.endswith((".D", ".U")) for name in counts)
    biases = sum(p.numel() for name, p in handle.adapter.items() if name.endswith("_bias"))
    assert handle.report()["effective"] == sum(counts.values()) + biases


@pytest.mark.parametrize(
    "options",
    [{}, {"over": LORA}, {"over": "pfeiffer", "pruner": "er"}, LATE, {**LATE, "scope": "local"}],
)
def test_masked_entries_stay_at_zero(options: dict[str, Any]) -> None:
    handle = started(**options)
    optimizer = adamw(handle)
    drive(handle, optimizer, 0, 5)
    before = {name: p.detach().clone() for name, p in handle.adapter.items()}
    handle.model(**batch(), labels=LABELS).loss.backward()
    handle.on_gradients(5)
    for name, mask in handle.masks.items():
        gradient = handle.adapter[name].grad
        assert gradient is not None
        assert not gradient[~mask].any()
    assert any(handle.adapter[name].grad[mask].any() for name, mask in handle.masks.items())
    optimizer.step()
    handle.on_step(5)
    found = hidden(handle)
    assert len(found) == handle.report()["of"] - handle.report()["kept"] > 0
    assert not found.any()
    still = {name for name, p in handle.adapter.items() if torch.equal(p, before[name])}
    # Global SNIP scores may leave nothing of a matrix; all others train.
    assert still == {name for name, mask in handle.masks.items() if not mask.any()}


def test_without_rehiding_momentum_moves_masked_entries() -> None:
    """What `on_step` is for: scores in training come when there is momentum."""
    handle = started(**LATE)
    handle.on_step = lambda step: None  # type: ignore[method-assign]
    drive(handle, adamw(handle), 0, 6)
    assert hidden(handle).any()


@pytest.mark.parametrize("over", ["houlsby", {"lora": {"r": 4, "dropout": 0.1}}])
@pytest.mark.parametrize("pruner", ["rand", "magnitude", "snip"])
def test_keeping_all_is_the_dense_method(over: Any, pruner: str) -> None:
    handle = started(over=over, pruner=pruner, keep_ratio=1)
    dense_model = build()
    torch.manual_seed(0)
    [(name, options)] = over.items() if isinstance(over, dict) else [(over, {})]
    dense = get_method(name)(**options).attach(dense_model, PLAN)
    for one in (handle, dense):
        drive(one, adamw(one), 0, 4)
    assert all(torch.equal(p, dense.adapter[key]) for key, p in handle.adapter.items())


def test_seed_decides_the_mask() -> None:
    first, second = started(over=LORA), started(over=LORA)
    other = started(over=LORA, plan=Plan(40, 10, 4, seed=4))
    same = [torch.equal(mask, second.masks[name]) for name, mask in first.masks.items()]
    differ = [torch.equal(mask, other.masks[name]) for name, mask in first.masks.items()]
    assert all(same)
    assert not any(differ)


def test_large_sparse_keeps_as_many_as_the_dense_adapter() -> None:
    handle = started(over={"houlsby": {"bottleneck": 2}}, large=4, keep_ratio=1)
    assert handle.report()["kept"] == 4 * 2 * 2 * 2 * 32
    assert handle.report()["of"] == 4 * handle.report()["kept"]
    by_reduction = started(over={"houlsby": {"reduction": 16}}, large=4, keep_ratio=1)
    assert by_reduction.report()["kept"] == handle.report()["kept"]
    lora = started(over=LORA, large=2, keep_ratio=1)
    assert lora.report()["kept"] * 2 == lora.report()["of"]
    assert {layer.scaling["default"] for _, layer, _ in lora.base.adapters()} == {4.0}
    full_size = attach_full_size("bert-base-uncased", "sparseadapter", over="houlsby", large=4)
    assert size(full_size.adapter) == 24 * (2 * 768 * 192 + 192 + 768)


# -- scores --------------------------------------------------------------------------------------


def loss_of(model: nn.Module, matrices: dict[str, Tensor], temperature: float) -> Tensor:
    """Return the mean loss over the probe for other matrices in the model, in eval mode."""
    model.eval()
    losses = []
    for given in PROBE:
        inputs = {key: value for key, value in given.items() if key != "labels"}
        logits = functional_call(model, matrices, kwargs=inputs).logits
        losses.append(functional.cross_entropy(logits / temperature, given["labels"]))
    return torch.stack(losses).mean()


def test_snip_is_the_gradient_of_a_mask() -> None:
    handle = attach()
    matrices = {name: handle.adapter[name] for name in handle.masks}
    masks = {name: torch.ones_like(p, requires_grad=True) for name, p in matrices.items()}
    loss = loss_of(handle.model, {n: p.detach() * masks[n] for n, p in matrices.items()}, 1.0)
    by_hand = torch.autograd.grad(loss, list(masks.values()))
    found = sparse_scores.snip_on(handle.model, matrices, PROBE)
    for gradient, score in zip(by_hand, found.values(), strict=True):
        torch.testing.assert_close(score, gradient.abs(), rtol=1e-4, atol=1e-9)
    handle.on_start(PROBE)
    flat, kept = (torch.cat([t.flatten() for t in d.values()]) for d in (found, handle.masks))
    assert flat[kept].min() >= flat[~kept].max()


def test_grasp_is_a_hessian_vector_product() -> None:
    handle = attach()
    matrices = {name: handle.adapter[name] for name in handle.masks}
    values = tuple(p.detach().clone() for p in matrices.values())

    def loss(*tensors: Tensor) -> Tensor:
        return loss_of(handle.model, dict(zip(matrices, tensors, strict=True)), 200.0)

    leaves = [value.clone().requires_grad_() for value in values]
    g = torch.autograd.grad(loss(*leaves), leaves)
    _, products = torch.autograd.functional.vhp(loss, values, g)
    found = sparse_scores.grasp(handle.model, matrices, PROBE)
    for value, product, score in zip(values, products, found.values(), strict=True):
        expected = value * product
        torch.testing.assert_close(score, expected, rtol=1e-3, atol=1e-4 * expected.abs().max())
        assert expected.any()


def test_grasp_works_with_fused_attention() -> None:
    scores = []
    for attention in ("eager", "sdpa"):
        model = build(attention=attention)
        handle = attach(model=model)
        matrices = {name: handle.adapter[name] for name in handle.masks}
        found = sparse_scores.grasp(handle.model, matrices, PROBE).values()
        scores.append(torch.cat([score.flatten() for score in found]))
    torch.testing.assert_close(*scores, rtol=1e-3, atol=1e-4 * scores[0].abs().max().item())


@pytest.mark.parametrize("pruner", ["snip", "grasp"])
def test_scoring_leaves_no_trace(pruner: str) -> None:
    handle = attach(pruner=pruner)
    assert handle.num_probe == 64
    handle.model.train()
    before, state = (
        {n: p.detach().clone() for n, p in handle.adapter.items()},
        torch.get_rng_state(),
    )
    handle.on_start(PROBE)
    assert torch.equal(torch.get_rng_state(), state)
    assert handle.model.training
    assert not handle.model.classifier._forward_hooks
    assert all(p.grad is None for p in handle.model.parameters())
    for name, parameter in handle.adapter.items():
        mask = handle.masks.get(name, torch.ones_like(parameter))
        assert torch.equal(parameter, before[name] * mask)


def test_scores_in_training_are_of_that_step() -> None:
    handle = started(**LATE)
    drive(handle, adamw(handle), 0, 3)
    assert handle.report()["kept"] is None
    assert all(mask.all() for mask in handle.masks.values())
    torch.manual_seed(3)
    handle.model.train()
    handle.model(**batch(), labels=LABELS).loss.backward()
    matrices = {name: handle.adapter[name] for name in handle.masks}
    scores = torch.cat([(p * p.grad).abs().flatten() for p in matrices.values()])
    handle.on_gradients(3)
    kept = torch.cat([mask.flatten() for mask in handle.masks.values()])
    assert int(kept.sum()) == round(0.6 * len(kept)) == handle.report()["kept"]
    assert scores[kept].min() >= scores[~kept].max()
    assert handle.report()["scored_at"] == 3


@pytest.mark.parametrize("bad", [None, torch.inf])
def test_scores_in_training_wait_for_gradients(bad: Any) -> None:
    handle = started(**LATE)
    optimizer = adamw(handle)
    drive(handle, optimizer, 0, 3)
    handle.model(**batch(), labels=LABELS).loss.backward()
    first = next(handle.parameters())
    first.grad = bad if bad is None else torch.full_like(first, bad)
    handle.on_gradients(3)
    assert handle.scored_at is None
    optimizer.zero_grad()
    drive(handle, optimizer, 4, 5)
    assert handle.scored_at == 4


def test_frozen_matrices_stay_whole() -> None:
    handle = started(**LATE)
    optimizer = adamw(handle)
    drive(handle, optimizer, 0, 2)
    for parameter in handle.units()[0]:
        parameter.requires_grad_(False)
    optimizer.zero_grad()
    drive(handle, optimizer, 2, 5)
    first = {id(p) for p in handle.units()[0]}
    whole = [bool(mask.all()) for n, mask in handle.masks.items() if id(handle.adapter[n]) in first]
    rest = [mask for n, mask in handle.masks.items() if id(handle.adapter[n]) not in first]
    assert whole == [True] * 12
    assert sum(int(m.sum()) for m in rest) == round(0.6 * sum(m.numel() for m in rest))


@pytest.mark.parametrize("keep", [0.05, 0.3, 0.6, 1.0])
def test_erdos_renyi_shares(keep: float) -> None:
    shapes = {"big": (400, 50), "wide": (10, 1000), "tiny": (2, 3), "small": (8, 9)}
    counts = sparse_scores.erdos_renyi(shapes, keep)
    assert sum(counts.values()) == round(keep * sum(a * b for a, b in shapes.values()))
    ratios = []
    for name, (rows, columns) in shapes.items():
        assert counts[name] <= rows * columns
        if counts[name] < rows * columns:
            ratios.append(counts[name] / (rows + columns))
    # Rounding to whole entries apart, counts are in proportion to n_in + n_out.
    assert not ratios or max(ratios) - min(ratios) <= 1 / 5
    assert counts["tiny"] == 6 or keep < 0.1
    if keep == 0.6:
        assert counts["small"] == 72
        assert counts["wide"] == 10_000 or counts["big"] / 450 == pytest.approx(
            counts["wide"] / 1010, rel=0.01
        )


def test_er_masks_have_those_shares() -> None:
    handle = started(over=LORA, pruner="er", keep_ratio=0.4)
    shapes = {name: handle.adapter[name].shape for name in handle.masks}
    counts = {name: int(mask.sum()) for name, mask in handle.masks.items()}
    assert counts == sparse_scores.erdos_renyi(shapes, 0.4)
    assert len(set(counts.values())) > 1


def test_ties_go_to_the_first() -> None:
    scores = {"a": torch.tensor([[1.0, 2.0], [1.0, 1.0]]), "b": torch.tensor([[1.0]])}
    masks = sparse_scores.keep_highest(scores, 3)
    assert masks["a"].tolist() == [[True, True], [True, False]]
    assert masks["b"].tolist() == [[False]]


@pytest.mark.parametrize("pruner", ["magnitude", "snip", "grasp"])
def test_lora_that_starts_as_in_the_released_code_has_scores(pruner: str) -> None:
    handle = started(over={"lora": {"r": 4, "init": "normal"}}, pruner=pruner)
    for side in (".lora_A.", ".lora_B."):
        kept = [p[handle.masks[name]] for name, p in handle.adapter.items() if side in name]
        assert torch.cat(kept).std().item() == pytest.approx(0.02, rel=0.4), "N(0, 0.02)"
    assert handle.report()["kept"] == round(0.6 * handle.report()["of"])


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("pruner", ["magnitude", "snip"])
def test_scores_that_say_nothing_are_refused(pruner: str) -> None:
    handle = attach(pruner=pruner)
    for name, parameter in handle.adapter.items():
        if name.endswith(".U"):
            parameter.data.zero_()
    with pytest.raises(ValueError, match=r"only \d+ of 1024 scores differ from 0, and 614.*rand"):
        handle.on_start(PROBE)
    with pytest.raises(ValueError, match="not finite"):
        sparse_scores.keep_highest({"a": torch.tensor([[1.0, torch.nan]])}, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"over": "lora", "pruner": "snip"}, "nothing to look at: lora starts with matrices of ze"),
        ({"over": "lora", "pruner": "grasp"}, "Set over: {lora: {init: normal}}, pruner: rand, or"),
        ({"over": "lora", "pruner": "magnitude"}, "nothing to look at"),
        ({"over": {"houlsby": {"init": "zero-up"}}}, "pruner snip has nothing to look at"),
        ({"over": "lora", "score_after": 5}, "pruner rand cannot score in training"),
        ({"over": "houlsby", "pruner": "grasp", "score_after": 5}, "grasp cannot score in train"),
        ({"over": "houlsby", "score_after": 1}, "take 2 or more"),
        ({"over": "houlsby", "pruner": "er", "scope": "local"}, "leave out scope"),
        ({"over": "houlsby", "large": 3}, "large 3 does not divide reduction 16"),
        ({"over": "elora"}, "not work over 'elora'; did you mean 'lora'"),
        ({"over": "houlsby", "keep_ratio": 0}, "greater than 0"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SparseAdapter(**options)


def test_scores_must_come_within_the_run() -> None:
    with pytest.raises(ValueError, match="score_after 40: this run has 40 steps"):
        attach(score_after=40)
    best = Plan(40, 10, 4, keep_best=True)
    with pytest.raises(ValueError, match="less than 10 steps"):
        attach(best, score_after=10)
    attach(best, score_after=9)


# -- memory, resuming, methods around it ---------------------------------------------------------


def forecast(method: str, options: dict[str, Any]) -> FakeRun:
    asked = request("tiny-bert", method, options)
    ((_, result),) = run_forked([(fake_run, (asked,))], workers=1)
    if isinstance(result, Exception):
        raise result
    return result


def test_it_saves_no_memory() -> None:
    dense = forecast("houlsby", {"bottleneck": 8})
    sparse = forecast("sparseadapter", {"over": {"houlsby": {"bottleneck": 8}}})
    masks = 4 * LAYERS * 8 * 32  # one byte per entry; every mask of 256 takes a block of 512
    assert sparse.report.peak >= dense.report.peak + masks
    assert sparse.report.peak <= dense.report.peak + 2 * masks
    assert sparse.report.split["method"] == 2 * masks
    assert sparse.report.saved == dense.report.saved
    assert sparse.parameters == dense.parameters
    assert sparse.flops_step == dense.flops_step


@pytest.mark.parametrize("options", [LATE, {"over": LORA}])
@pytest.mark.parametrize("stop", [2, 5])
def test_resumes_bit_for_bit(options: dict[str, Any], stop: int) -> None:
    first, second = started(**options), started(**options, plan=Plan(40, 10, 4, seed=9))
    optimizers = [adamw(first), adamw(second)]
    drive(first, optimizers[0], 0, stop)
    state = first.state_dict()
    second.load_state_dict({k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()})
    second.model.load_state_dict(first.model.state_dict())
    optimizers[1].load_state_dict(deepcopy(optimizers[0].state_dict()))
    for handle, optimizer in zip((first, second), optimizers, strict=True):
        drive(handle, optimizer, stop, 8)
    assert first.report() == second.report()
    assert all(torch.equal(mask, second.masks[name]) for name, mask in first.masks.items())
    assert all(torch.equal(p, second.adapter[name]) for name, p in first.adapter.items())


def test_safe_freezes_and_folds_sparse_adapters() -> None:
    options = {"over": {"sparseadapter": {"over": LORA}}, "tau": {"quantile": 0.6}, "probe": 2}
    torch.manual_seed(0)
    safe = get_method("safe")(**options, max_warmup=2, merge=True, t_f={"epochs": 1}).attach(
        build(), PLAN
    )
    assert isinstance(safe, SafeHandle)
    sparse = safe.base
    assert isinstance(sparse, SparseHandle)
    safe.on_start(PROBE)
    optimizer, count = adamw(safe), len(sparse.masks)
    for epoch in range(3):
        drive(safe, optimizer, epoch, epoch + 1)
        if change := safe.on_epoch(epoch, PROBE):
            apply_change(optimizer, change)
    assert safe.merged
    assert len(sparse.masks) == count - len(safe.merged)
    assert not hidden(sparse).any()
    drive(safe, optimizer, 3, 4)
    assert safe.report()["kept"] == round(0.6 * safe.report()["of"])


def test_adapterdrop_over_sparse_adapters() -> None:
    options = {"over": {"sparseadapter": {"over": "pfeiffer"}}}
    torch.manual_seed(0)
    handle = get_method("adapterdrop")(**options).attach(build(), PLAN)
    handle.on_start(PROBE)
    drive(handle, adamw(handle), 0, 4)
    sparse = handle.base  # type: ignore[attr-defined]
    assert isinstance(sparse, SparseHandle)
    assert not hidden(sparse).any()
    assert len(hidden(sparse)) == 512 - round(0.6 * 512)


def test_masks_count_as_the_methods_memory() -> None:
    handle = attach(over=LORA)
    masks = [tensor for name, tensor in handle.overhead().items() if name.startswith("mask.")]
    assert {mask.dtype for mask in masks} == {torch.bool}
    assert len(masks) == len(handle.adapter) == 48


def test_labels() -> None:
    assert SparseAdapter(over="lora").label == "sparseadapter-lora-r8-rand-keep0.6"
    assert SparseAdapter(over="pfeiffer").label == "sparseadapter-pfeiffer-reduction16-snip-keep0.6"
    label = SparseAdapter(**LATE, scope="local", large=4, keep_ratio=1).label
    assert label == "sparseadapter-lora-r4-snip-keep1-local-large4-after3"
