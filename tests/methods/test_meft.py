"""MEFT's invariants: what backward rebuilds is what forward had."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cells import RESUMED, EndsAfter, cell_of, run, same
from sizes import attach as attach_full_size
from sizes import size
from tiny import PLAN, batch, build, logits
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import BertConfig, BertForSequenceClassification

from harness.metering.flops import step_flops
from harness.metering.ledger import Ledger
from harness.training.checkpoint import Checkpoints
from harness.training.loop import Interrupted
from methods import Plan, get_method, surgery
from methods.bottleneck.layer import Bottleneck
from methods.meft.handle import MeftHandle, reconstruction_errors
from methods.meft.method import Meft

FAMILIES = ["tiny-bert", "tiny-roberta", "tiny-deberta-v2", "tiny-gpt2", "tiny-llama", "tiny-bart"]
LABELS = torch.tensor([0, 1])
ALL: dict[str, Any] = {"reversible": "all"}


def bert(num_layers: int = 4, hidden: int = 32) -> nn.Module:
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=hidden, num_hidden_layers=num_layers, num_attention_heads=2, vocab_size=2000,
        intermediate_size=4 * hidden, attn_implementation="eager",
    )  # fmt: skip
    return BertForSequenceClassification(config)


def attach(model: str | nn.Module = "tiny-bert", **options: Any) -> MeftHandle:
    model = build(model) if isinstance(model, str) else model
    torch.manual_seed(0)
    handle = Meft(**options).attach(model, PLAN)
    assert isinstance(handle, MeftHandle)
    handle.model.train()
    return handle


def loss_of(handle: MeftHandle, **more: Any) -> Tensor:
    torch.manual_seed(1)
    found: Tensor = handle.model(**batch(), **more, labels=LABELS).loss
    return found


def gradients(handle: MeftHandle, loss: Tensor) -> dict[str, Tensor]:
    trained = {n: p for n, p in handle.model.named_parameters() if p.requires_grad}
    return dict(zip(trained, torch.autograd.grad(loss, list(trained.values())), strict=True))


def by_plain_autograd(handle: MeftHandle, function: Callable[[], Any]) -> Any:
    """Run something with the same two streams, but no layer reversible."""
    before, handle.stack.reversible = handle.stack.reversible, range(0)
    found = function()
    handle.stack.reversible = before
    return found


def furthest(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Return the largest difference, relative to the largest entry of each tensor."""
    assert set(found) == set(expected)
    return max(float((found[n] - t).abs().max() / t.abs().max()) for n, t in expected.items())


@pytest.mark.parametrize(("design", "layers"), [(1, 4), (2, 4), (3, 3)])
def test_inverse_of_forward(design: int, layers: int) -> None:
    handle = attach(bert(layers), design=design, dropout=0.1, **ALL)
    handle.model.double()
    errors = reconstruction_errors(handle.model, handle.stack, [{**batch(), "labels": LABELS}])
    assert len(errors) == layers
    assert 0 < max(errors) < 1e-10


@pytest.mark.parametrize("design", [1, 2, 3])
@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("options", [{"reversible": (1, 2)}, {"reversible": "all", "chunk": 3}])
def test_gradients_are_those_of_plain_autograd(
    model: str, design: int, options: dict[str, Any]
) -> None:
    handle = attach(model, design=design, dropout=0.1, **options)
    handle.model.double()
    loss = loss_of(handle)
    drawn, state = torch.rand(3), torch.get_rng_state()
    found = gradients(handle, loss)
    assert torch.equal(torch.get_rng_state(), state), "backward moved the global random stream"
    expected_loss = by_plain_autograd(handle, lambda: loss_of(handle))
    assert torch.equal(torch.rand(3), drawn), "forward used the random stream in another way"
    assert torch.equal(loss, expected_loss)
    assert furthest(found, gradients(handle, expected_loss)) < 1e-10


@pytest.mark.gpu
def test_a_gpu_draws_the_same_masks_again() -> None:
    handle = attach(dropout=0.1, **ALL)
    handle.model.double().cuda()
    inputs = {name: tensor.cuda() for name, tensor in {**batch(), "labels": LABELS}.items()}

    def taken() -> dict[str, Tensor]:
        torch.manual_seed(1)
        loss = handle.model(**inputs).loss
        state = torch.cuda.get_rng_state()
        found = gradients(handle, loss)
        assert torch.equal(torch.cuda.get_rng_state(), state)
        return found

    assert furthest(taken(), by_plain_autograd(handle, taken)) < 1e-10


def test_gradients_without_the_right_masks_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = attach(**ALL)
    handle.model.double()
    expected = by_plain_autograd(handle, lambda: gradients(handle, loss_of(handle)))
    monkeypatch.setattr("methods.common.random_state.RandomState.restore", lambda state: None)
    assert furthest(gradients(handle, loss_of(handle)), expected) > 0.1


class Masks(TorchDispatchMode):
    """Takes down every dropout mask that is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket is torch.ops.aten.bernoulli_:
            self.seen.append(hashlib.sha256(out.numpy().tobytes()).hexdigest())
        return out


@pytest.mark.parametrize("model", ["tiny-bert", "tiny-bart"])
def test_dropout_masks_are_those_of_the_forward_pass(model: str) -> None:
    handle = attach(model, dropout=0.1, **ALL)
    with Masks() as forward:
        loss = loss_of(handle)
    with Masks() as backward:
        gradients(handle, loss)
    layers = len(handle.stack.couplings)
    assert len(backward.seen) >= 4 * layers  # attention, both blocks, both adapters
    assert len(set(backward.seen)) == len(backward.seen)
    assert set(backward.seen) <= set(forward.seen)


@pytest.mark.parametrize("model", FAMILIES)
def test_without_adapters_and_lambda_a_stream_is_the_model(model: str) -> None:
    outputs: list[Tensor] = []

    def see(_module: nn.Module, _args: Any, out: Any) -> None:
        outputs.append(out[0] if isinstance(out, tuple) else out)

    def own_layers(model: nn.Module) -> list[nn.Module]:
        return [model.get_submodule(n) for n in surgery.layer_names(model) if "decoder" not in n]

    base = build(model).double()
    for layer in own_layers(base)[-2:]:
        layer.register_forward_hook(see)
    logits(base)
    handle = attach(model, design=1)
    handle.model.double()
    for parameter in handle.parameters():
        nn.init.zeros_(parameter)
    for coupling in handle.stack.couplings:
        coupling.lam = 0.0
    own_layers(handle.model)[-1].register_forward_hook(see)
    logits(handle.model)
    one_below, last, mean = outputs
    torch.testing.assert_close(2 * mean - one_below, last, atol=1e-12, rtol=0)


def saved_bytes(num_layers: int, **options: Any) -> int:
    handle = attach(bert(num_layers), **options)
    known = {"weights.base": handle.model.parameters(), "inputs": batch().values()}
    with Ledger(known, rounding=512) as ledger:  # a GPU's memory: no random states
        ledger.mark("forward")
        loss = loss_of(handle)
        ledger.mark("backward")
        loss.backward()  # type: ignore[no-untyped-call]
    return ledger.report().saved


def test_saved_activations_do_not_depend_on_reversible_layers() -> None:
    few, many = saved_bytes(4, **ALL), saved_bytes(8, **ALL)
    assert few == many
    pair = 2 * 2 * 10 * 32 * 4  # two streams, two examples of ten tokens
    assert saved_bytes(8, reversible="all", chunk=2) == many + 3 * 2 * -(-pair // 2 // 512) * 512
    lower_half, plain = saved_bytes(8), saved_bytes(8, reversible=(0, 1))
    assert many < 0.2 * lower_half
    assert (plain - many) / (lower_half - many) == pytest.approx(7 / 4, rel=0.02)


@pytest.mark.parametrize(("reversible", "ratio"), [("lower-half", 1.25), ("all", 1.5)])
def test_flops_of_running_layers_again(reversible: str, ratio: float) -> None:
    inputs = {**batch(), "labels": LABELS}
    handle = attach(bert(12, hidden=64), reversible=reversible)
    lora = get_method("lora")(r=4, targets="qv").attach(bert(12, hidden=64), PLAN).model
    found = step_flops(handle.model, inputs)
    streams = by_plain_autograd(handle, lambda: step_flops(handle.model, inputs))
    assert found / streams == pytest.approx(ratio, abs=0.02)
    assert found / step_flops(lora, inputs) == pytest.approx(ratio, abs=0.05)


def measured(num_layers: int = 12, **options: Any) -> MeftHandle:
    handle = attach(bert(num_layers), **options)
    handle.on_epoch(0, [{**batch(), "labels": LABELS}])
    return handle


def test_errors_grow_tenfold_a_layer_and_chunks_bound_them() -> None:
    without, chunked = measured(**ALL), measured(chunk=4, **ALL)
    errors = without.report()["reconstruction_error"]
    assert len(errors) == len(chunked.errors) == 12
    assert errors[0] < 1e-6
    growth = (errors[6] / errors[2]) ** (1 / 4)
    assert 3 < growth < 30
    assert without.report()["worst"] > 1 > 1e-2 > chunked.report()["worst"]
    [warning] = without.shortfalls()
    assert "chunk: 4" in warning
    assert chunked.shortfalls() == []
    assert measured(chunk=4, recon_tol=1e-9, **ALL).shortfalls()
    assert measured(lam=0.9, **ALL).shortfalls() == []


def test_errors_that_are_not_finite_are_json() -> None:
    handle = attach(**ALL)
    with torch.no_grad():
        next(handle.parameters()).fill_(float("nan"))
    handle.on_epoch(0, [{**batch(), "labels": LABELS}])
    report = json.loads(json.dumps(handle.report(), allow_nan=False))
    assert report["worst"] is None
    assert report["history"] == [None]
    assert "not finite" in handle.shortfalls()[0]


def test_looking_changes_nothing() -> None:
    handle = attach(dropout=0.1)
    handle.model.eval()
    state = torch.get_rng_state()
    handle.on_epoch(0, [{**batch(), "labels": LABELS}])
    assert torch.equal(torch.get_rng_state(), state)
    assert not handle.model.training
    assert all(parameter.grad is None for parameter in handle.model.parameters())
    assert handle.stack.trace is None


def test_resumes_what_it_measured() -> None:
    first, second = measured(4), attach(bert(4))
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.report() == first.report()
    assert second.report()["history"]


def test_an_interrupted_run_ends_with_the_same_bytes(tmp_path: Path) -> None:
    cell = cell_of(tmp_path, "{meft: {dropout: 0.1, reversible: all}}", *RESUMED, "train.epochs=2")
    whole = run(cell)
    with pytest.raises(Interrupted):
        run(cell, EndsAfter(tmp_path / "checkpoint", 4))
    again = run(cell, Checkpoints(tmp_path / "checkpoint", every=1e9))
    same(again, whole)
    assert len(again.handle.report()["history"]) == 2


def test_hooks_see_the_gradients_and_they_add_up() -> None:
    handle, seen = attach(**ALL), []
    for parameter in handle.parameters():
        parameter.register_hook(lambda grad: seen.append(grad.norm()))
    loss_of(handle).backward()
    once = {name: p.grad.clone() for name, p in handle.adapter.items() if p.grad is not None}
    assert len(seen) == len(once) == len(handle.adapter)
    loss_of(handle).backward()
    assert all(torch.equal(handle.adapter[name].grad, 2 * grad) for name, grad in once.items())


def test_frozen_adapters_get_no_gradient() -> None:
    handle = attach(**ALL)
    expected = gradients(handle, loss_of(handle))
    for name in list(handle.adapter)[::3]:
        handle.adapter[name].requires_grad_(False)
        del expected[name]
    assert furthest(gradients(handle, loss_of(handle)), expected) == 0
    for parameter in handle.parameters():
        parameter.requires_grad_(False)
    assert set(gradients(handle, loss_of(handle))) == set(surgery.head_parameters(handle.model))


@pytest.mark.parametrize("model", ["tiny-bert", "tiny-gpt2"])
def test_gradient_checkpointing_changes_no_gradient(model: str) -> None:
    handle = attach(model, reversible=(1, 3), dropout=0.1)
    expected = gradients(handle, loss_of(handle))
    handle.model.gradient_checkpointing_enable(  # type: ignore[operator]
        gradient_checkpointing_kwargs={"use_reentrant": False}
    )
    assert furthest(gradients(handle, loss_of(handle)), expected) < 1e-6


def test_gradients_reach_what_is_below() -> None:
    handle = attach(**ALL)
    handle.model.double()
    below = surgery.input_parameters(handle.model)
    for parameter in below.values():
        parameter.requires_grad_(True)
    found = gradients(handle, loss_of(handle))
    expected = by_plain_autograd(handle, lambda: gradients(handle, loss_of(handle)))
    assert set(below) <= set(found)
    assert furthest(found, expected) < 1e-10


def test_backward_runs_layers_in_the_autocast_of_forward() -> None:
    handle, dtypes = attach(**ALL), []
    inside = surgery.layers(handle.model)[0].get_submodule("intermediate.dense")
    inside.register_forward_hook(lambda module, args, out: dtypes.append(out.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(handle)
    found = gradients(handle, loss)
    assert dtypes == [torch.bfloat16] * 2
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in found.values())
    loss = loss_of(handle)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gradients(handle, loss)
    assert dtypes[2:] == [torch.float32] * 2


def test_streams_are_float32_over_a_half_precision_model() -> None:
    handle = attach(build(dtype=torch.bfloat16), **ALL)
    errors = reconstruction_errors(handle.model, handle.stack, [{**batch(), "labels": LABELS}])
    assert errors[0] < 1e-3  # in bfloat16 the first rebuilt input is off by a few per cent
    assert all(p.dtype == torch.float32 for p in handle.parameters())


def test_a_cache_of_keys_works_where_it_is_used() -> None:
    handle = attach("tiny-gpt2", **ALL)
    expected = gradients(handle, loss_of(handle))
    assert furthest(gradients(handle, loss_of(handle, use_cache=True)), expected) == 0
    transformer: Any = handle.model.eval().transformer
    ids = batch()["input_ids"]
    with torch.no_grad():
        whole = transformer(input_ids=ids).last_hidden_state
        half = transformer(input_ids=ids[:, :5], use_cache=True)
        rest = transformer(input_ids=ids[:, 5:], past_key_values=half.past_key_values)
    torch.testing.assert_close(rest.last_hidden_state, whole[:, 5:], atol=1e-5, rtol=0)


def test_names_in_the_model_stay() -> None:
    base, handle = build(), attach()
    assert surgery.layer_names(handle.model) == surgery.layer_names(base)
    assert surgery.target_modules(handle.model, "six") == surgery.target_modules(base, "six")
    wide = ("intermediate.dense",)
    assert surgery.target_modules(handle.model, wide) == surgery.target_modules(base, wide)
    assert [len(unit) for unit in surgery.group_by_layer(handle.model, handle.adapter)] == [8] * 4
    assert set(base.state_dict()) == set(handle.model.state_dict()) - set(handle.adapter)
    with pytest.raises(ValueError, match="safe does not work over 'meft'"):
        get_method("safe")(over="meft", tau=0.1).attach(build(), Plan(50, 5, 10))


def test_a_copy_runs_its_own_layers() -> None:
    handle = attach()
    twin = copy.deepcopy(handle.model)
    before = logits(twin)
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(1.0)
    assert torch.equal(logits(twin), before)
    assert not torch.equal(logits(handle.model), before)


@pytest.mark.parametrize(
    ("model", "options", "count"),
    [
        ("bert-base-uncased", {}, 12 * 2 * (2 * 768 * 8 + 8 + 768)),
        ("bert-large-uncased", {"d": 64, "design": 3}, 24 * 2 * (2 * 1024 * 64 + 64 + 1024)),
        ("bart-large", {}, 12 * 2 * (2 * 1024 * 8 + 8 + 1024)),
    ],
)
def test_counts(model: str, options: dict[str, Any], count: int) -> None:
    handle = attach_full_size(model, "meft", **options)  # holds expected_count against it
    assert size(handle.adapter) == count


@pytest.mark.parametrize(
    ("model", "rate"),
    [("tiny-bert", 0.1), ("tiny-gpt2", 0.1), ("tiny-bart", 0.1), ("tiny-llama", 0)],
)
def test_dropout_of_the_released_adapters_is_the_model_s_own(model: str, rate: float) -> None:
    base: Any = build(model)
    for name in ("hidden_dropout_prob", "resid_pdrop", "dropout"):
        if hasattr(base.config, name):
            setattr(base.config, name, 0.1)
    meft = Meft(dropout="model")
    rates = {
        getattr(module.drop, "p", 0.0)
        for module in meft.attach(base, PLAN).model.modules()
        if isinstance(module, Bottleneck)
    }
    assert rates == {rate}
    plain = Meft().remarks(base, PLAN)
    assert any("the released ones the model's 0.1" in text for text in plain) == bool(rate)
    assert not any("dropout" in text for text in meft.remarks(base, PLAN))


@pytest.mark.parametrize("model", ["tiny-bert", "tiny-deberta-v2", "tiny-bart", "tiny-gpt2"])
def test_the_attention_block_s_adapter_sees_what_dropout_left(model: str) -> None:
    """As in the released design 3: z + adapter(z) behind the projection's dropout."""
    base: Any = build(model)
    for module in base.modules():
        for name in ("p", "drop_prob", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.5)
    handle = attach(base, design=3, reversible=(0, 1))
    seen: list[Tensor] = []
    layer: Any = surgery.layers(handle.model)[0]
    layer.meft.f.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    handle.model.train()
    handle.model(**batch(), labels=LABELS)
    dropped = (seen[0] == 0).float().mean().item()
    assert 0.3 < dropped < 0.7


def test_biases_do_not_decay() -> None:
    handle = attach()
    names = {id(p): name for name, p in handle.adapter.items()}
    assert {names[id(p)][-6:] for p in handle.undecayed} == {"D_bias", "U_bias"}
    assert len(handle.undecayed) == len(handle.adapter) // 2


def test_refuses_what_it_cannot_couple() -> None:
    with pytest.raises(ValueError, match=r"no layers of 'vit' models.*allowed: bart, bert"):
        attach(build("tiny-vit", head="image"))
    for message, change in {
        "cross-attention": {"add_cross_attention": True},
        "layers with different masks": {"layer_types": ["full_attention", "sliding_attention"]},
        "convolution": {"conv_kernel_size": 3},
        "encoder_layerdrop": {"encoder_layerdrop": 0.1},
    }.items():
        model: Any = build()
        for name, value in change.items():
            setattr(model.config, name, value)
        with pytest.raises(ValueError, match=message):
            attach(model)
    with pytest.raises(ValueError, match=r"reversible \[2, 5\): meft couples layers \[0, 4\)"):
        attach(reversible=(2, 5))
    with pytest.raises(ValueError, match="greater than 0"):
        Meft(lam=0)


def test_label_tells_options_apart() -> None:
    assert Meft().label == "meft1-d8"
    assert Meft(lam=0.1, beta=1).label == "meft1-d8"
    assert Meft(design=3, beta=0.2, d=64, **ALL).label == "meft3-d64-beta0.2-all"
    assert Meft(chunk=4, reversible=(0, 6), dropout=0.1).label == "meft1-d8-drop0.1-0+6-chunk4"
