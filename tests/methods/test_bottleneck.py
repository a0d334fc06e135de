"""Houlsby's and Pfeiffer's adapters: where they sit, what they compute, counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from contract import digest
from pydantic import ValidationError
from sizes import FAMILIES, size
from sizes import attach as attach_full_size
from tiny import PLAN, batch
from tiny import build as build_text
from torch import Tensor, nn
from torch.nn import functional

from harness.suite.settings import TrainSettings
from harness.training.optim import make_optimizer
from methods import get_method, surgery
from methods.bottleneck import ends as insertion
from methods.bottleneck.handle import BottleneckHandle
from methods.bottleneck.layer import Bottleneck

# By family, inside a layer: output projections of self-attention and of the feed-forward block.
ENDS = {
    "bert": ("attention.output.dense", "output.dense"),
    "roberta": ("attention.output.dense", "output.dense"),
    "deberta": ("attention.output.dense", "output.dense"),
    "gpt2": ("attn.c_proj", "mlp.c_proj"),
    "llama": ("self_attn.o_proj", "mlp.down_proj"),
    "bart": ("self_attn.out_proj", "fc2"),
    "vit": ("attention.o_proj", "mlp.fc2"),
    "swin": ("attention.o_proj", "mlp.fc2"),
}
IMAGES = ("tiny-vit", "tiny-swin")
METHODS = ("houlsby", "pfeiffer")


def build(name: str = "tiny-bert") -> nn.Module:
    return build_text(name, "image" if name in IMAGES else "classification")


def attach(
    method: str = "houlsby", name: str = "tiny-bert", seed: int = 0, **options: Any
) -> BottleneckHandle:
    model = build(name)
    torch.manual_seed(seed)
    handle = get_method(method)(**options).attach(model, PLAN)
    assert isinstance(handle, BottleneckHandle)
    return handle


def move(handle: BottleneckHandle, scale: float = 0.3) -> None:
    """Take the adapters far from where they started."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in handle.parameters():
            parameter.add_(scale * torch.randn_like(parameter))


def inputs(model: nn.Module) -> dict[str, Tensor]:
    if model.config.model_type not in ("vit", "swin"):
        return batch()
    side, channels = model.config.image_size, model.config.num_channels
    generator = torch.Generator().manual_seed(0)
    return {"pixel_values": torch.randn(2, channels, side, side, generator=generator)}


def logits(model: nn.Module) -> Tensor:
    model.eval()
    with torch.no_grad():
        found: Tensor = model(**inputs(model)).logits
    return found


def loss(model: nn.Module) -> Tensor:
    found: Tensor = model(**inputs(model), labels=torch.tensor([0, 1])).loss
    return found


def adapters(model: nn.Module) -> dict[str, Bottleneck]:
    return {name: m for name, m in model.named_modules() if isinstance(m, Bottleneck)}


# -- where they are ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FAMILIES)
def test_zero_u_is_the_base_model(name: str, method: str) -> None:
    handle = attach(method, name, init="zero-up")
    layers = len(surgery.layers(handle.model))
    found = adapters(handle.model)
    assert len(found) == layers * (2 if method == "houlsby" else 1)
    assert all(m.D.any() and not m.U.any() for m in found.values())
    assert [len(unit) for unit in handle.units()] == [4 * len(found) // layers] * layers
    assert torch.equal(logits(handle.model), logits(build(name)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FAMILIES)
def test_an_adapter_adds_to_its_sublayer_before_the_residual(name: str, method: str) -> None:
    """With U = 0 only U_bias is left, which is a shift of the projection's own output."""
    handle, plain = attach(method, name, init="zero-up"), build(name)
    ends = ENDS[surgery.family(plain)][0 if method == "houlsby" else 1 :]
    found = iter(adapters(handle.model).values())
    for layer in surgery.layers(plain):
        for end in ends:
            projection = layer.get_submodule(end)
            shift = torch.randn(surgery.linear_shape(projection)[1])
            next(found).U_bias.data.copy_(shift)
            projection.register_forward_hook(lambda *args, shift=shift: args[-1] + shift)
    assert not torch.equal(logits(plain), logits(build(name)))
    torch.testing.assert_close(logits(handle.model), logits(plain), atol=1e-5, rtol=1e-5)


def test_pfeiffer_on_bert_by_hand() -> None:
    handle = attach("pfeiffer")
    move(handle)
    layer = surgery.layers(handle.model.eval())[0]
    module = layer.output.LayerNorm.adapter
    before, hidden = torch.randn(2, 3, 32), torch.randn(2, 3, 64)
    out = layer.output(hidden, before)
    s = layer.output.dense(hidden) + before
    norm = layer.output.LayerNorm.base_layer
    x = functional.layer_norm(s, (32,), norm.weight, norm.bias, norm.eps)
    added = torch.relu(x @ module.D.T + module.D_bias) @ module.U.T + module.U_bias
    by_hand = functional.layer_norm(s + added, (32,), norm.weight, norm.bias, norm.eps)
    torch.testing.assert_close(out, by_hand)
    assert (out - x).abs().max() > 0.1


def test_pfeiffer_without_a_last_norm_by_hand() -> None:
    handle, plain = attach("pfeiffer", "tiny-gpt2"), build("tiny-gpt2")
    move(handle)
    layer, x = surgery.layers(handle.model.eval())[0], torch.randn(2, 3, 32)
    s = surgery.layers(plain.eval())[0](x)
    module = layer.adapter
    added = torch.relu(s @ module.D.T + module.D_bias) @ module.U.T + module.U_bias
    torch.testing.assert_close(layer(x), s + added)
    # What calls or replaces `forward`, as a prefix cache does, has the adapter in it.
    assert torch.equal(layer.forward(x), layer(x))
    assert isinstance(layer, type(surgery.layers(plain)[0]))


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-gpt2"])
def test_houlsby_comes_after_dropout(name: str) -> None:
    handle = attach("houlsby", name, init="zero-up")
    layer = surgery.layers(handle.model)[0]
    module = layer.output.dropout if name == "tiny-bert" else layer.mlp.dropout
    module.adapter.U_bias.data.fill_(7.0)
    module.train()
    assert module.base_layer.p > 0
    dropped = module(torch.ones(50, 32)) == 7.0
    assert 0 < dropped.float().mean() < 0.5, "what is dropped out is shifted, too"


@pytest.mark.parametrize("activation", ["relu", "gelu", "swish", "tanh"])
def test_activations(activation: str) -> None:
    module = Bottleneck(6, 3, activation, "bert", torch.device("cpu"))  # type: ignore[arg-type]
    x = torch.randn(5, 6)
    phi = {"relu": nn.ReLU(), "gelu": nn.GELU(), "swish": nn.SiLU(), "tanh": nn.Tanh()}[activation]
    torch.testing.assert_close(module(x), phi(x @ module.D.T) @ module.U.T)
    assert get_method("houlsby")().activation == "swish"
    assert get_method("pfeiffer")().activation == "relu"


@pytest.mark.parametrize(("init", "std"), [("bert", 0.02), ("houlsby", 0.0088), ("zero-up", 0.02)])
def test_initial_values(init: Any, std: float) -> None:
    torch.manual_seed(0)
    module = Bottleneck(768, 48, "relu", init, torch.device("cpu"))
    for weight in (module.D, module.U):
        if init == "zero-up" and weight is module.U:
            assert not weight.any()
            continue
        assert weight.std().item() == pytest.approx(std, rel=0.03)
        # Of 36,864 draws from N(0, s) some are beyond 3 s; the truncated ones end at 2 s.
        assert weight.abs().max() <= 0.02 if init == "houlsby" else weight.abs().max() > 0.06
    assert not module.D_bias.any()
    assert not module.U_bias.any()


# -- counts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "method", "options", "count"),
    [
        ("bert-base-uncased", "houlsby", {}, 1_789_056),
        ("bert-base-uncased", "pfeiffer", {}, 894_528),
        ("bert-base-uncased", "houlsby", {"bottleneck": 64}, 2_379_264),
        ("bert-base-uncased", "pfeiffer", {"bottleneck": 64}, 1_189_632),
        ("bert-base-uncased", "houlsby", {"layers": [6, 12]}, 1_789_056 // 2),
        ("bert-base-uncased", "houlsby", {"train_layernorm": True}, 1_789_056 + 12 * 4 * 768),
        ("bert-large-uncased", "houlsby", {}, 6_343_680),
        ("bert-large-uncased", "pfeiffer", {"bottleneck": 64}, 3_171_840),
        # Two layers of 128, two of 256, eighteen of 512, two of 1024.
        (
            "swin-base-patch4-window7-224",
            "pfeiffer",
            {},
            sum(n * (2 * h * h // 16 + h // 16 + h)
                for n, h in [(2, 128), (2, 256), (18, 512), (2, 1024)]),
        ),
    ],
)  # fmt: skip
def test_counts(name: str, method: str, options: dict[str, Any], count: int) -> None:
    assert size(attach_full_size(name, method, **options).adapter) == count


def test_a_narrow_layer_has_a_bottleneck_of_one() -> None:
    handle = attach("pfeiffer", "tiny-swin", reduction=64)
    assert {module.D.shape[0] for module in adapters(handle.model).values()} == {1}


# -- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FAMILIES)
def test_training_moves_adapters_and_head_only(name: str, method: str) -> None:
    handle = attach(method, name)
    before = {n: digest(p) for n, p in handle.model.named_parameters()}
    params = [p for p in handle.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=0.01)
    handle.model.train()
    for _ in range(2):
        loss(handle.model).backward()
        optimizer.step()
    moved = {n for n, p in handle.model.named_parameters() if digest(p) != before[n]}
    assert moved <= set(handle.adapter) | set(surgery.head_parameters(handle.model))
    # BART's decoder ends a text of one token only: what only others' tokens feed stays.
    assert {n for n in handle.adapter if n.endswith(".U")} <= moved


def test_back_propagation_goes_through_a_frozen_adapter() -> None:
    handle = attach()
    move(handle)
    for unit in handle.units()[1:]:
        for parameter in unit:
            parameter.requires_grad_(False)
    loss(handle.model).backward()
    whole = [p.grad.clone() for p in handle.units()[0] if p.grad is not None]
    assert len(whole) == 8
    handle.model.zero_grad()
    handle.skip([1, 2, 3])
    loss(handle.model).backward()
    assert not any(torch.equal(p.grad, g) for p, g in zip(handle.units()[0], whole, strict=True))


@pytest.mark.parametrize(("method", "name"), [("pfeiffer", "tiny-gpt2"), ("houlsby", "tiny-bert")])
def test_checkpointing_repeats_the_adapter(method: str, name: str) -> None:
    gradients: list[list[Tensor | None]] = []
    widths: list[set[int]] = [set(), set()]
    for checkpointing, kept in zip((False, True), widths, strict=True):
        handle = attach(method, name, bottleneck=7)
        if checkpointing:
            handle.model.gradient_checkpointing_enable({"use_reentrant": False})
        handle.model.train()
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, kept=kept: (kept.update(tensor.shape[-1:]), tensor)[1], lambda x: x
        ):
            loss(handle.model)
        torch.manual_seed(1)
        loss(handle.model).backward()
        gradients.append([p.grad for p in handle.parameters()])
    assert all(torch.equal(p, q) for p, q in zip(*gradients, strict=True))
    assert 7 in widths[0]
    assert 7 not in widths[1], "the adapter's own activations are kept all the same"


def test_biases_do_not_decay() -> None:
    for name in ("tiny-bert", "tiny-bart"):  # BART calls its last LayerNorm final_layer_norm
        handle = attach("pfeiffer", name)
        head = surgery.head_parameters(handle.model).values()
        settings = TrainSettings(weight_decay=0.1)
        optimizer = make_optimizer(handle.model, head, settings, undecayed=handle.undecayed)
        decayed = {
            id(p) for g in optimizer.param_groups if g["weight_decay"] for p in g["params"]
        }  # fmt: skip
        for key, parameter in handle.adapter.items():
            assert (id(parameter) in decayed) == (not key.endswith("_bias")), key


# -- leaving out, layers, LayerNorms -------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "name"), [("houlsby", "tiny-llama"), ("pfeiffer", "tiny-llama"),
                         ("pfeiffer", "tiny-bert"), ("pfeiffer", "tiny-swin")]
)  # fmt: skip
def test_skipping_is_per_layer(method: str, name: str) -> None:
    handle = attach(method, name)
    move(handle)
    whole, plain = logits(handle.model), logits(build(name))
    handle.skip([0, 1])
    some = logits(handle.model)
    handle.skip(None)
    assert torch.equal(logits(handle.model), plain)
    handle.skip(())
    assert torch.equal(logits(handle.model), whole)
    partial = attach(method, name, layers="upper-half")
    own = dict(partial.model.named_parameters())
    with torch.no_grad():
        for key in partial.adapter:
            own[key].copy_(handle.adapter[key])
    assert torch.equal(logits(partial.model), some)
    assert not torch.equal(some, whole)


@pytest.mark.parametrize("method", METHODS)
def test_layernorms_train_and_are_put_back_when_skipped(method: str) -> None:
    handle = attach(method, train_layernorm=True, layers=[1, 3])
    extra = {name for name in handle.adapter if "LayerNorm" in name and ".adapter." not in name}
    assert len(extra) == 2 * 4
    assert size(handle.adapter) == get_method(method)(
        train_layernorm=True, layers=[1, 3]
    ).expected_count(build())
    plain = logits(build())
    handle.skip(None)
    assert torch.equal(logits(handle.model), plain), "nothing has moved yet, so nothing is copied"
    assert not handle.overhead()
    handle.skip(())
    handle.prepare_to_skip()
    assert sum(t.numel() for t in handle.overhead().values()) == 2 * 4 * 32
    move(handle)
    handle.skip([0, 3])
    one = logits(handle.model)
    handle.skip(None)
    assert torch.equal(logits(handle.model), plain)
    assert not torch.equal(one, plain)


def test_no_merged_form() -> None:
    handle = attach()
    with pytest.raises(ValueError, match="a non-linear adapter has no merged form"):
        handle.prepare_to_fold()
    with pytest.raises(ValueError, match="no merged form"):
        get_method("safe")(over="houlsby", tau=0.1, merge=True, freeze_in_final=True).attach(
            build(), PLAN
        )
    assert handle.finish(handle.model) is handle.model


# -- the model's structure -----------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FAMILIES)
def test_structure_is_seen_through_adapters(name: str, method: str) -> None:
    model = build(name)
    names, targets = surgery.layer_names(model), surgery.target_modules(model, "six")
    shapes = [surgery.linear_shape(model.get_submodule(target)) for target in targets]
    ends = insertion.sublayer_ends(model)
    last = surgery.target_modules(model, (targets[-1].rpartition(".")[2],))
    get_method(method)().attach(model, PLAN)
    assert surgery.layer_names(model) == names
    assert surgery.target_modules(model, "six") == targets
    assert surgery.target_modules(model, (targets[-1].rpartition(".")[2],)) == last
    assert [surgery.linear_shape(model.get_submodule(target)) for target in targets] == shapes
    assert insertion.sublayer_ends(model) == ends
    with pytest.raises(ValueError, match="'adapter'"):
        surgery.target_modules(model, ("adapter",))


def test_labels_and_wrong_options() -> None:
    houlsby, pfeiffer = get_method("houlsby"), get_method("pfeiffer")
    assert houlsby().label == "houlsby-reduction16"
    options = {"bottleneck": 64, "activation": "relu", "init": "houlsby", "layers": [2, 4]}
    assert houlsby(**options).label == "houlsby-b64-relu-houlsby-layers2+4"
    assert pfeiffer(**options, train_layernorm=True).label == (
        "pfeiffer-b64-houlsby-layers2+4-train_layernorm"
    )
    for wrong in ({"activation": "silu"}, {"init": "zero"}, {"reduction": 0}):
        with pytest.raises(ValidationError, match=r"relu|zero-up|greater than 0"):
            houlsby(**wrong)
    with pytest.raises(ValueError, match=r"layers \[0, 4\)"):
        attach(layers=[3, 7])
