"""SoRA's golden values and invariants."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import RESUMED, EndsAfter, cell_of, run, same
from hypothesis import given
from hypothesis import strategies as st
from sizes import attach as attach_full_size
from sizes import size
from tiny import PLAN, backward, build, drive, logits
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.suite.settings import TrainSettings
from harness.training.checkpoint import Checkpoints
from harness.training.loop import Interrupted
from harness.training.optim import apply_change, make_optimizer
from methods import Plan, Stage, get_method, surgery
from methods.lora import Lora
from methods.sora.handle import SoraHandle, official_threshold, soft_threshold
from methods.sora.layer import SoraLayer
from methods.sora.method import Sora

DEBERTA = "deberta-v3-base"
QUERY = "bert.encoder.layer.0.attention.self.query"
INNER = "bert.encoder.layer.1.intermediate.dense"


def attach(name: str = "tiny-bert", plan: Plan = PLAN, **options: Any) -> SoraHandle:
    model = build(name)
    torch.manual_seed(0)
    handle = Sora(**options).attach(model, plan)
    assert isinstance(handle, SoraHandle)
    return handle


def adamw(handle: SoraHandle) -> Optimizer:
    settings = TrainSettings(lr=0.01, weight_decay=0.1)
    head = surgery.head_parameters(handle.model).values()
    return make_optimizer(handle.model, head, settings, undecayed=handle.undecayed)


def randomize(handle: SoraHandle) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))


def close_gates(handle: SoraHandle, name: str, *ranks: int) -> None:
    with torch.no_grad():
        handle.modules[name].g[:, list(ranks)] = 0.0


# -- the proximal operator -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gate", "exact", "official"),
    [
        (0.15, 0.05, 0.0), (0.25, 0.15, 0.15), (-0.35, -0.25, -0.25), (-0.15, -0.05, 0.0),
        (0.05, 0.0, 0.0), (0.0, 0.0, 0.0), (0.1, 0.0, 0.1),
    ],
)  # fmt: skip
def test_operators(gate: float, exact: float, official: float) -> None:
    gates = torch.tensor([[gate]])
    torch.testing.assert_close(soft_threshold(gates, 0.1), torch.tensor([[exact]]))
    torch.testing.assert_close(official_threshold(gates, 0.1), torch.tensor([[official]]))


floats = st.floats(-4, 4, width=32)


@given(st.lists(st.tuples(floats, floats), min_size=1, max_size=20), st.floats(0, 2, width=32))
def test_exact_operator_is_non_expansive_with_exact_zeros(
    pairs: list[tuple[float, float]], xi: float
) -> None:
    x, y = torch.tensor(pairs, dtype=torch.float64).T
    a, b = soft_threshold(x, xi), soft_threshold(y, xi)
    assert ((a - b).abs() <= (x - y).abs() + 1e-12).all()
    assert (a[x.abs() <= xi] == 0).all()
    assert torch.equal(a.sign(), torch.where(x.abs() > xi, x.sign(), 0.0))


def test_official_operator_expands() -> None:
    """It jumps from 0 to xi at 2 xi, which no proximal operator of a convex term does."""
    low, high = official_threshold(torch.tensor([0.199, 0.201]), 0.1)
    assert high - low > 0.1


# -- training ------------------------------------------------------------------------------------


def test_start() -> None:
    handle = attach(r=8)
    assert torch.equal(logits(handle.model), logits(build()))
    gates = torch.cat([module.g for module in handle.modules.values()], dim=1)
    assert gates.shape == (1, 8 * 24)
    assert abs(gates.mean().item()) < 0.2
    assert gates.std().item() == pytest.approx(1, abs=0.15)
    a = handle.modules[QUERY].A
    bound = 1 / math.sqrt(a.shape[1])
    assert 0.9 * bound < a.abs().max() <= bound
    assert not any(module.B.any() for module in handle.modules.values())


def test_open_gates_make_it_lora() -> None:
    torch.manual_seed(3)
    lora = Lora(r=4, alpha=8).attach(build(), PLAN)
    handle = attach(r=4, alpha=8, eta=0)
    for name, module in handle.modules.items():
        for ours, theirs in ((module.A, "lora_A"), (module.B, "lora_B")):
            parameter = lora.adapter[f"{name}.{theirs}.default.weight"]
            with torch.no_grad():
                parameter.add_(0.1 * torch.randn_like(parameter))
                ours.copy_(parameter)
        nn.init.ones_(module.g)
    torch.testing.assert_close(logits(handle.model), logits(lora.model))
    for each in (lora, handle):
        backward(each)
    for name, module in handle.modules.items():
        for ours, theirs in ((module.A, "lora_A"), (module.B, "lora_B")):
            parameter = lora.adapter[f"{name}.{theirs}.default.weight"]
            torch.testing.assert_close(ours.grad, parameter.grad)


def test_without_a_threshold_it_is_gated_lora() -> None:
    """With xi 0 no step does more to the gates than the optimizer does."""
    ours, plain = attach(r=4, xi=0), attach(r=4, xi=0.1)
    plain.on_step = lambda step: None  # type: ignore[method-assign]
    for handle in (ours, plain):
        drive(handle, adamw(handle), range(3))
    assert all(torch.equal(p, plain.adapter[n]) for n, p in ours.adapter.items())
    assert ours.report()["zero_gates"] == 0


@pytest.mark.parametrize("prox", ["exact", "official"])
def test_step_shrinks_gates_and_nothing_else(prox: str) -> None:
    handle = attach(r=4, xi=0.1, prox=prox)
    backward(handle)
    before = {name: p.detach().clone() for name, p in handle.adapter.items()}
    handle.on_step(0)
    operator = soft_threshold if prox == "exact" else official_threshold
    for name, parameter in handle.adapter.items():
        expected = operator(before[name], 0.1) if name.endswith(".g") else before[name]
        assert torch.equal(parameter, expected), name
    zeros = sum(int((p == 0).sum()) for n, p in handle.adapter.items() if n.endswith(".g"))
    assert handle.report()["zero_gates"] == zeros > 0
    assert handle.report()["xi"] == 0.1


def test_gates_without_a_gradient_stay() -> None:
    handle = attach(r=4, xi=0.1)
    handle.modules[QUERY].g.requires_grad_(False)
    handle.skip([3])
    backward(handle)
    before = {name: m.g.detach().clone() for name, m in handle.modules.items()}
    handle.on_step(0)
    moved = {n for n, m in handle.modules.items() if not torch.equal(m.g, before[n])}
    assert moved == {n for n in handle.modules if ".layer.3." not in n} - {QUERY}


def test_term_is_eta_times_the_mean_over_all_gates() -> None:
    handle = attach(r=4, eta=7)
    term = handle.loss()
    assert term is not None
    gates = torch.cat([module.g for module in handle.modules.values()], dim=1)
    torch.testing.assert_close(term, 7 * gates.abs().mean())
    term.backward()
    for module in handle.modules.values():
        torch.testing.assert_close(module.g.grad, 7 / gates.numel() * module.g.sign())
    assert attach(eta=0).loss() is None
    handle.skip(None)
    assert handle.loss() is None


def test_gates_do_not_decay() -> None:
    handle = attach(r=4)
    decay = {
        id(p): group["weight_decay"]
        for group in adamw(handle).param_groups
        for p in group["params"]
    }
    for name, parameter in handle.adapter.items():
        assert decay[id(parameter)] == (0.0 if name.endswith(".g") else 0.1), name


def test_a_gate_at_zero_may_return() -> None:
    handle = attach(r=4, eta=0)
    randomize(handle)
    close_gates(handle, QUERY, 1)
    backward(handle)
    module = handle.modules[QUERY]
    gradients = {key: p.grad for key, p in module.named_parameters(recurse=False)}
    assert all(gradient is not None for gradient in gradients.values())
    assert not gradients["A"][1].any()  # type: ignore[index]
    assert not gradients["B"][:, 1].any()  # type: ignore[index]
    assert gradients["g"][0, 1] != 0  # type: ignore[index]


def test_threshold_grows_by_stages() -> None:
    plan = Plan(num_steps=14, steps_per_epoch=7, num_epochs=2)
    handle = attach(plan=plan, xi=7e-4, xi_stages=7)
    expected = [7e-4 * stage / 6 for stage in range(7) for _ in range(2)]
    assert [handle.xi_at(step) for step in range(14)] == pytest.approx(expected)
    assert {attach(xi=0.2).xi_at(step) for step in range(10)} == {0.2}
    with pytest.raises(ValueError, match="xi_stages 11: the run has only 10 steps"):
        attach(xi_stages=11)


def test_a_larger_threshold_leaves_fewer_gates() -> None:
    zeros = []
    for xi in (0.0, 0.01, 0.05, 0.2):
        handle = attach(r=4, xi=xi)
        drive(handle, adamw(handle), range(4))
        zeros.append(handle.report()["zero_gates"])
    assert zeros == sorted(set(zeros))


def test_floats_kept_for_backward() -> None:
    module = SoraLayer(nn.Linear(768, 3072).requires_grad_(False), 8, factor=2.0)
    known = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known and storage.nbytes() > 4 * 8:  # the scaled gate
            kept[storage.data_ptr()] = storage.nbytes() // 4
        return tensor

    tokens = torch.randn(2, 3, 768, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        module(tokens)
    assert sum(kept.values()) == 6 * (768 + 8 + 8)


# -- counts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("r", "count"), [(8, 1_327_104 + 8 * 72), (4, 663_552 + 4 * 72)])
def test_counts(r: int, count: int) -> None:
    handle = attach_full_size(DEBERTA, "sora", r=r)  # holds expected_count against it
    assert size(handle.adapter) == count
    assert not handle.overhead()


def test_layernorms_train_where_the_released_configuration_says_so() -> None:
    norms = 2 * 2 * 768 * 12
    handle = attach_full_size(DEBERTA, "sora", r=8, train_layernorm=True)
    assert size(handle.adapter) == 1_327_104 + 8 * 72 + norms
    small = attach(train_layernorm=True)
    names = [name for name in small.adapter if "LayerNorm" in name]
    assert len(names) == 2 * 2 * 4
    assert all(small.adapter[name] is small.model.get_parameter(name) for name in names)
    with pytest.raises(ValueError, match="LayerNorms"):
        small.prepare_to_fold()
    with torch.no_grad():
        small.adapter[names[0]].add_(1.0)
    trained = logits(small.model)
    finished = small.finish(small.model)
    torch.testing.assert_close(logits(finished), trained)
    assert Sora(train_layernorm=True).label == "sora-r8-train_layernorm"


def test_how_far_a_run_moves_a_gate_is_told() -> None:
    """CoLA in 20 epochs: at batch 8 as in the released script, and at AFLoRA's batch 64."""
    for batch_size, moved in ((8, "6.4"), (64, "0.8")):
        steps = 20 * -(-8551 // batch_size)
        plan = Plan(num_steps=steps, steps_per_epoch=steps // 20, num_epochs=20)
        told = f"xi is per step, and moves a gate by up to {moved} in {steps} steps"
        assert Sora().remarks(build(), plan) == [told]


def test_report_counts_what_open_gates_reach() -> None:
    handle = attach(r=4)
    sides = {name: m.in_features + m.out_features for name, m in handle.modules.items()}
    hidden = handle.model.config.hidden_size
    dense = 4 * sum(sides.values())
    report = handle.report()
    assert (report["zero_gates"], report["of"]) == (0, 4 * 24)
    assert report["effective_parameters"] == report["effective_official"] == dense
    close_gates(handle, QUERY, 0, 3)
    close_gates(handle, INNER, 1)
    for report in (handle.report(), handle.compact() and handle.report()):
        assert report
        assert (report["zero_gates"], report["of"]) == (3, 4 * 24)
        assert report["effective_parameters"] == dense - 2 * sides[QUERY] - sides[INNER]
        # Right for square layers only.
        assert report["effective_official"] == dense - 3 * 2 * hidden
        assert report["ranks"][QUERY] == 2
        assert report["ranks"][INNER] == 3


# -- compaction ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-gpt2"])
def test_compaction_keeps_the_function(name: str) -> None:
    handle = attach(name, r=4)
    randomize(handle)
    first, second, *rest = handle.modules
    close_gates(handle, first, 0, 2)
    close_gates(handle, second, 0, 1, 2, 3)
    before = logits(handle.model)
    change = handle.compact()
    assert change
    assert change.reshaped
    torch.testing.assert_close(logits(handle.model), before, atol=1e-6, rtol=0)
    assert handle.modules[first].A.shape[0] == 2
    assert not isinstance(handle.model.get_submodule(second), SoraLayer)
    assert not [n for n in handle.adapter if n.startswith(f"{second}.")]
    assert {tuple(p.shape) for p in change.frozen} >= {(1, 4)}
    assert len(change.resized) == len(change.frozen) == 3
    # A resumed run replaces them in the model's order, and clipping sums in the groups' order.
    order = [id(parameter) for parameter in handle.model.parameters()]
    places = [order.index(id(resized.new)) for resized in change.resized]
    assert places == sorted(places)
    names = dict(handle.model.named_parameters())
    assert all(names[n] is p for n, p in handle.adapter.items())
    assert sum(len(unit) for unit in handle.units()) == len(handle.adapter)
    assert handle.compact() is None, "there is nothing left to take"
    handle.skip([0])
    handle.skip(())
    torch.testing.assert_close(logits(handle.model), before, atol=1e-6, rtol=0)
    handle.fold([1])
    deployed = handle.finish(handle.model)
    torch.testing.assert_close(logits(deployed), before, atol=1e-5, rtol=0)
    assert list(deployed.state_dict()) == list(build(name).state_dict())
    assert handle.report()["ranks"] == {first: 2, second: 0, **dict.fromkeys(rest, 4)}


def test_what_is_left_trains_on_as_if_nothing_was_taken() -> None:
    """With its optimizer's state, and the same pull on every gate."""
    handles = {compacts: attach(r=4, xi=0.0) for compacts in (False, True)}
    for compacts, handle in handles.items():
        optimizer = adamw(handle)
        drive(handle, optimizer, range(3))
        close_gates(handle, QUERY, 1, 2)
        if compacts:
            change = handle.compact()
            assert change
            apply_change(optimizer, change)
            assert handle.modules[QUERY].A in optimizer.state
        for step in range(3, 6):
            drive(handle, optimizer, range(step, step + 1))
            if not compacts:
                close_gates(handle, QUERY, 1, 2)
    whole, cut = handles[False].modules, handles[True].modules
    assert cut[QUERY].rank == 2
    kept = torch.tensor([0, 3])
    for key, dim in (("A", 0), ("g", 1), ("B", 1)):
        expected = whole[QUERY].get_parameter(key).index_select(dim, kept)
        torch.testing.assert_close(cut[QUERY].get_parameter(key).data, expected.data)
    torch.testing.assert_close(cut[INNER].A, whole[INNER].A)


def test_reload_takes_out_the_same_ranks() -> None:
    handle = attach(r=4)
    randomize(handle)
    close_gates(handle, QUERY, 1)
    handle.compact()
    with torch.no_grad():
        handle.modules[QUERY].g[0, 1] = 0.0  # rank 2, counted as attached
    close_gates(handle, INNER, 0, 1, 2, 3)
    handle.compact()
    state = handle.state_dict()
    assert state["kept"] == {QUERY: [0, 3], INNER: []}
    fresh = attach(r=4)
    fresh.load_state_dict(state)
    assert {n: p.shape for n, p in fresh.adapter.items()} == {
        n: p.shape for n, p in handle.adapter.items()
    }
    for mine, theirs in zip(fresh.parameters(), handle.parameters(), strict=True):
        mine.data.copy_(theirs.data)
    assert torch.equal(logits(fresh.model), logits(handle.model))
    assert fresh.report() == handle.report()


def test_stages_take_out_a_share_on_meta() -> None:
    start, half = Sora().stages(PLAN)
    handle = attach_full_size(DEBERTA, "sora", r=8)
    before = size(handle.adapter)
    assert not handle.force(start)
    change = handle.force(half)
    assert size(handle.adapter) == before / 2
    assert len(change.resized) == 3 * 72
    handle.force(Stage("all", 1.0))
    assert not handle.adapter
    assert list(handle.model.state_dict()) == list(
        attach_full_size(DEBERTA, "bitfit").model.state_dict()
    )


def test_shared_weights_do_not_fold() -> None:
    handle = attach()
    handle.modules[INNER].base_layer.register_parameter(
        "weight", handle.modules["bert.encoder.layer.0.intermediate.dense"].weight
    )
    with pytest.raises(ValueError, match="shares its weight"):
        handle.prepare_to_fold()


# -- in the loop ---------------------------------------------------------------------------------


SHORT = ("train.epochs=4", "train.evaluate=end")  # of three steps


def test_resumes_with_the_same_bytes(tmp_path: Path) -> None:
    method = "{sora: {r: 4, xi: 0.02, xi_stages: 3, dropout: 0.1, targets: qv}}"
    cell = cell_of(tmp_path, method, *RESUMED, *SHORT)
    whole = run(cell)
    assert whole.handle.report()["zero_gates"] > 0
    with pytest.raises(Interrupted):
        run(cell, EndsAfter(tmp_path / "checkpoint", 6))
    same(run(cell, Checkpoints(tmp_path / "checkpoint", every=1e9)), whole)


def test_resumes_compacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a method around it had compacted after the second epoch."""
    monkeypatch.setattr(
        SoraHandle, "on_epoch", lambda self, epoch, _: self.compact() if epoch == 1 else None
    )
    cell = cell_of(tmp_path, "{sora: {r: 2, xi: 0.1, targets: qv}}", *RESUMED, *SHORT)
    whole = run(cell)
    shapes = [p.shape for p in whole.handle.parameters()]
    assert len(shapes) < 3 * 8, "no module lost all of its ranks, so that case is not covered"
    assert (1, 1) in shapes
    assert whole.handle.report()["zero_gates"] < 16
    with pytest.raises(Interrupted):
        run(cell, EndsAfter(tmp_path / "checkpoint", 8))
    same(run(cell, Checkpoints(tmp_path / "checkpoint", every=1e9)), whole)


def test_label_and_wrong_options() -> None:
    assert Sora().label == "sora-r8"
    chosen = Sora(r=4, xi=1e-3, eta=0, prox="official", xi_stages=7)
    assert chosen.label == "sora-r4-eta0-xi0.001-official-stages7"
    for options in ({"prox": "oficial"}, {"xi": -1}, {"r": 0}, {"xi_stages": 0}, {"rank": 8}):
        with pytest.raises(ValueError):
            get_method("sora")(**options)
